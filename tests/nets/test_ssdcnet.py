"""The network against a plain formulation of the paper's formulas, cell by cell, on the published names."""

import copy
from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from crowdserve.cards import CARDS, IMAGENET_UNIT, VGG16
from crowdserve.nets.imagenet import load_vgg16_weights
from crowdserve.nets.normalisation import normalise
from crowdserve.nets.ssdcnet import SSDCNet, port_vgg16, softmax_in_blocks
from export.verify.images import PHOTO, read_photo, scaled
from tests.support.paths import REPOSITORY

State = Mapping[str, Tensor]
POOLINGS = (4, 9, 16, 23, 30)
"""Indices of torchvision's VGG16 features."""


def plain_conv(state: State, name: str, x: Tensor) -> Tensor:
    kernel = state[f"{name}.weight"]
    return functional.conv2d(x, kernel, state[f"{name}.bias"], padding=kernel.shape[-1] // 2)


def plain_taps(state: State, x: Tensor) -> list[Tensor]:
    taps = []
    for i in range(31):
        if f"front_end.features.{i}.weight" in state:
            x = plain_conv(state, f"front_end.features.{i}", x).relu()
        if i in POOLINGS:
            x = functional.max_pool2d(x, 2)
            taps.append(x)
    return taps[2:]


def plain_up(state: State, name: str, x: Tensor, skip: Tensor) -> Tensor:
    twice = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    x = torch.cat([skip, plain_conv(state, f"{name}.conv1.conv.0", twice).relu()], 1)
    for i in (0, 2):
        x = plain_conv(state, f"{name}.conv2.conv.{i}", x).relu()
    return x


def plain_head(state: State, name: str, x: Tensor, first: int) -> Tensor:
    return plain_conv(state, f"{name}.{first + 2}", plain_conv(state, f"{name}.{first}", x).relu())


def plain_classes(state: State, table: Tensor, x: Tensor) -> Tensor:
    logits = plain_head(state, "back_end_cls", functional.avg_pool2d(x, 2), 1)
    return table[logits.argmax(1)]


def plain_division(state: State, table: Tensor, counts: Tensor, coarse: Tensor, fine: Tensor) -> Tensor:
    """Written quarter by quarter: each quarter of a cell gets its softmax share of the cell's count."""
    logits = plain_head(state, "back_end_denisty", coarse, 0)[:, 0]
    quarters = [(row, column) for row in (0, 1) for column in (0, 1)]
    shares = torch.stack([logits[:, row::2, column::2] for row, column in quarters]).softmax(0)
    shared = torch.empty_like(logits)
    for (row, column), share in zip(quarters, shares, strict=True):
        shared[:, row::2, column::2] = share * counts
    w = plain_head(state, "back_end_lw_fc", functional.avg_pool2d(fine, 2), 1)[:, 0].sigmoid()
    return (1 - w) * shared + w * plain_classes(state, table, fine)


def plain_map(net: SSDCNet, images: Tensor) -> Tensor:
    state = net.state_dict()
    conv3, conv4, conv5 = plain_taps(state, images)
    f1 = plain_up(state, "back_end_up.0", conv5, conv4)
    f2 = plain_up(state, "back_end_up.1", f1, conv3)
    div0 = plain_classes(state, net.table, conv5)
    div1 = plain_division(state, net.table, div0, conv5, f1)
    return plain_division(state, net.table, div1, f1, f2)


def random_batch(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(np.float32))


def test_has_the_parameters_of_its_card_under_the_published_names(ssdcnet: SSDCNet) -> None:
    assert sum(p.numel() for p in ssdcnet.parameters()) == CARDS["ssdcnet_sha"].parameters == 28_510_585
    layers = [f"front_end.features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    layers += [f"back_end_up.{i}.{conv}" for i in (0, 1) for conv in ("conv1.conv.0", "conv2.conv.0", "conv2.conv.2")]
    layers += ["back_end_cls.1", "back_end_cls.3", "back_end_lw_fc.1", "back_end_lw_fc.3"]
    layers += ["back_end_denisty.0", "back_end_denisty.2"]
    assert list(ssdcnet.state_dict()) == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]


@pytest.mark.parametrize(("max_local_count", "classes"), [(22, 55), (7, 25), (8, 27)])
def test_classes_end_at_the_largest_cell_count_of_the_dataset(max_local_count: float, classes: int) -> None:
    net = SSDCNet(max_local_count)
    assert len(net.table) == len(net.edges) + 1 == classes == net.back_end_cls[3].out_channels
    np.testing.assert_allclose(net.edges[:11], [1e-6, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5], rtol=1e-6)
    np.testing.assert_allclose(net.edges[10:].diff(), 0.5)
    assert net.table[[0, -1]].tolist() == [0, max_local_count]
    assert net.table[11].item() == 0.75


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (2, 3, 128, 64), (1, 3, 64, 192)])
def test_equals_the_plain_formulation(ssdcnet: SSDCNet, shape: tuple[int, ...]) -> None:
    x = random_batch(*shape)
    with torch.inference_mode():
        counts, total = ssdcnet(x)
        expected = plain_map(ssdcnet, x)
        division = ssdcnet.divide(ssdcnet.taps(x))
    assert counts.shape == (shape[0], shape[2] // 16, shape[3] // 16)
    np.testing.assert_allclose(counts, expected, atol=1e-5 * float(expected.max()))
    np.testing.assert_allclose(total[:, 0], expected.sum((1, 2)), rtol=1e-5)
    torch.testing.assert_close(division.div2[:, 0], counts)
    assert len(division.c2.unique()) > 1  # otherwise the comparison proves nothing
    assert 0.01 < division.w2.min() < division.w2.max() < 0.995


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_plain_formulation_for_other_weights_and_sizes(ssdcnet: SSDCNet, seed: int) -> None:
    draw, net = torch.Generator().manual_seed(seed), copy.deepcopy(ssdcnet)
    with torch.inference_mode():
        for tensor in net.parameters():
            deviation = (2 / tensor[0].numel()) ** 0.5 if tensor.ndim > 1 else 0.1
            tensor.copy_(deviation * torch.randn(tensor.shape, generator=draw))
        batch, rows, columns = torch.randint(1, 4, (3,), generator=draw).tolist()
        x = torch.randn(batch, 3, 64 * rows, 64 * columns, generator=draw)
        counts, total = net(x)
        expected = plain_map(net, x)
    assert len(expected.unique()) > 4
    np.testing.assert_allclose(counts, expected, atol=1e-5 * float(expected.max()))
    np.testing.assert_allclose(total[:, 0], expected.sum((1, 2)), rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_division_preserves_the_count(scale: float) -> None:
    logits = scale * torch.randn(2, 1, 6, 8, generator=torch.Generator().manual_seed(0))
    shares = softmax_in_blocks(logits)
    np.testing.assert_allclose(4 * functional.avg_pool2d(shares, 2), 1, rtol=1e-6)
    block = logits[1, 0, 2:4, 4:6].reshape(-1).softmax(0)
    np.testing.assert_allclose(shares[1, 0, 2:4, 4:6].reshape(-1), block, rtol=1e-5, atol=1e-12)


def test_image_of_odd_size_is_refused(ssdcnet: SSDCNet) -> None:
    with pytest.raises(ValueError, match="images of 64x72 px; both sides must be multiples of 64"):
        ssdcnet(torch.zeros(1, 3, 64, 72))


def test_gradients_reach_every_parameter(ssdcnet: SSDCNet) -> None:
    net = copy.deepcopy(ssdcnet)
    division = net.divide(net.taps(random_batch(1, 3, 64, 64)))
    classes = sum(functional.cross_entropy(x, x.argmax(1) * 0) for x in division[:3])
    (
        classes + division.den0.square().sum() + division.den1.square().sum() + division.w1.sum() + division.w2.sum()
    ).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    net.zero_grad()
    net.divide(net.taps(random_batch(1, 3, 64, 64))).div2.sum().backward()  # w decides between the counts of two scales
    assert net.back_end_lw_fc[3].weight.grad.any()


def test_class_choice_passes_the_gradient_of_the_expected_count(ssdcnet: SSDCNet) -> None:
    net = copy.deepcopy(ssdcnet)
    classifier = net.back_end_cls[3].weight
    taps = net.taps(random_batch(1, 3, 64, 64))
    hard, passing = net.divide(taps), net.divide(taps, straight_through=True)
    torch.testing.assert_close(passing.div2, hard.div2)
    assert not hard.c2.requires_grad
    (wanted,) = torch.autograd.grad(net.expected_counts(passing.logits2).sum(), classifier, retain_graph=True)
    (found,) = torch.autograd.grad(passing.c2.sum(), classifier)
    torch.testing.assert_close(found, wanted)
    assert wanted.any()


@pytest.fixture
def served_blocks() -> onnxruntime.InferenceSession:
    """The served VGG16, which tests/export compares with Keras' own: blocks 3, 4 and 5 of an image of any size."""
    model = onnx.load(REPOSITORY / VGG16.name / "1" / "model.onnx")
    for axis, name in ((1, "height"), (2, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=f"block{b}_pool") for b in (3, 4, 5))
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_ported_front_end_agrees_with_the_served_vgg16(served_blocks: onnxruntime.InferenceSession) -> None:
    """Each block's output, though one network takes caffe's BGR and the other RGB of 0 to 1."""
    net = port_vgg16(SSDCNet(7), load_vgg16_weights())
    pixels = scaled(read_photo(PHOTO), 128, 192)
    with torch.inference_mode():
        found = net.taps(torch.from_numpy(normalise(pixels, IMAGENET_UNIT)).permute(0, 3, 1, 2))
    for got, values in zip(found, served_blocks.run(None, {VGG16.input.name: pixels}), strict=True):
        np.testing.assert_allclose(got, values, atol=1e-3 * values.max())
        assert (values.max((0, 2, 3)) > 0).mean() > 0.5  # of the channels
