"""Operations and bytes of the networks against arithmetic by hand."""

import pytest
from torch import nn

from benchmarks.gpu.costs import cost_of
from benchmarks.gpu.networks import Network, csrnet, ssdcnet, vgg16
from crowdserve.cards import IMAGENET_UNIT

VGG_PAIRS = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)]
VGG_PAIRS += [(512, 512)] * 5
VGG_STRIDES = [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 16, 16, 16]
BACK_END_PAIRS = [(512, 512)] * 3 + [(512, 256), (256, 128), (128, 64)]


def convolutions(pairs: list[tuple[int, int]], strides: list[int], width: int, height: int) -> int:
    return sum(
        2 * 9 * before * after * (width // stride) * (height // stride)
        for (before, after), stride in zip(pairs, strides, strict=True)
    )


def test_csrnet_by_hand() -> None:
    width, height = 1024, 768
    front = convolutions(VGG_PAIRS[:10], VGG_STRIDES[:10], width, height)
    back = convolutions(BACK_END_PAIRS, [8] * 6, width, height) + 2 * 64 * (width // 8) * (height // 8)
    flops = cost_of(csrnet(None), width, height, 1).flops
    assert flops == front + back
    assert flops == pytest.approx(0.65e12, rel=0.01)


def test_ssdcnet_by_hand() -> None:
    width, height, classes = 1024, 768, 11 + 2 * 22
    flops = convolutions(VGG_PAIRS, VGG_STRIDES, width, height)
    ups = [(512, 256), (256 + 512, 512), (512, 512), (512, 256), (256 + 256, 512), (512, 512)]
    flops += convolutions(ups, [16] * 3 + [8] * 3, width, height)
    # Outputs of each head, and the stride of its cells: classes, weights, densities.
    heads = [(classes, 64), (classes, 32), (classes, 16), (1, 32), (1, 16), (1, 32), (1, 16)]
    flops += sum(2 * 512 * (512 + outputs) * (width // stride) * (height // stride) for outputs, stride in heads)
    assert cost_of(ssdcnet(None), width, height, 1).flops == flops
    assert flops == pytest.approx(0.68e12, abs=0.005e12)


def test_vgg16_by_hand() -> None:
    assert cost_of(vgg16(), 224, 224, 4).flops == 4 * convolutions(VGG_PAIRS, VGG_STRIDES, 224, 224)


def test_padding_counts() -> None:
    network = ssdcnet(None)
    assert cost_of(network, 100, 40, 3).flops == 3 * cost_of(network, 128, 64, 1).flops


def test_counting_leaves_nothing_behind() -> None:
    network = csrnet(None)
    cost_of(network, 64, 64, 1)
    assert not any(layer._forward_hooks for layer in network.module.modules())


def test_bytes_and_roofline_by_hand() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    cost = cost_of(Network("small", module, "random", IMAGENET_UNIT, 8), 15, 8, 2)
    pixels = 16 * 8
    conv_values = 2 * (3 + 8) * pixels + 3 * 8 * 9 + 8
    pool_values = 2 * 8 * (pixels + pixels // 4)
    assert cost.traffic_bytes(2) == 2 * (conv_values + pool_values)
    flops = 2 * 2 * 9 * 3 * 8 * pixels
    # The convolution is bound by its arithmetic, the pooling by its bytes.
    assert cost.roofline_seconds(1e3, 1e3, 2) == pytest.approx((flops + 2 * pool_values) / 1e3)
