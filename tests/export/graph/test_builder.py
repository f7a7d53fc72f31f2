from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from crowdserve.cards import CARDS, IMAGENET_CAFFE, IMAGENET_TORCH, Geometry, Normalisation, TensorSpec
from crowdserve.errors import WeightsError
from crowdserve.nets.normalisation import normalise, pad_black
from export.graph.builder import IR_VERSION, OPSET, OnnxGraph
from export.graph.chain import Convolution

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
CARD = replace(CARDS["csrnet_a"], outputs=(TensorSpec("density", "FP32", ("rows", "columns", 3), ""),))


def normalising_model(normalisation: Normalisation) -> onnx.ModelProto:
    """Only the first part of every graph, back in NHWC."""
    graph = OnnxGraph(CARD)
    graph.add("Transpose", graph.normalised_image(normalisation), name="density", perm=[0, 2, 3, 1])
    return onnx.load_from_string(graph.to_bytes())


@pytest.mark.parametrize(
    ("normalisation", "operators"),
    [
        (IMAGENET_CAFFE, ["Cast", "Transpose", "Gather", "Sub"]),
        (IMAGENET_TORCH, ["Cast", "Transpose", "Div", "Sub", "Div"]),
        (
            Normalisation("BGR", 127.5, (1.0, 1.5, 0.5), (1.0, 2.0, 1.0)),
            ["Cast", "Transpose", "Gather", "Div", "Sub", "Div"],
        ),
        (Normalisation("RGB", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), ["Cast", "Transpose"]),
    ],
)
def test_normalises_as_in_the_card(normalisation: Normalisation, operators: list[str]) -> None:
    model = normalising_model(normalisation)
    assert [node.op_type for node in model.graph.node][:-1] == operators
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (got,) = session.run(None, {"image": IMAGES})
    np.testing.assert_allclose(got, normalise(IMAGES, normalisation), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(5, 7), (8, 16), (1, 9)])
def test_pads_to_the_multiple_of_the_card_before_normalising(size: tuple[int, int]) -> None:
    geometry = Geometry(pad_multiple=4, output_stride=None, min_side_px=8, max_side_px=16, internal_pad_multiple=8)
    graph = OnnxGraph(replace(CARD, geometry=geometry, routes=(), density_output=None))
    graph.add("Transpose", graph.normalised_image(IMAGENET_TORCH), name="density", perm=[0, 2, 3, 1])
    images = np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)
    (got,) = onnxruntime.InferenceSession(graph.to_bytes()).run(None, {"image": images})
    np.testing.assert_allclose(got, normalise(pad_black(images, 8), IMAGENET_TORCH), rtol=1e-5, atol=1e-6)


def test_chain_applied_twice_shares_its_weights() -> None:
    kernel = np.random.default_rng(2).normal(size=(1, 1, 3, 3)).astype(np.float16).astype(np.float32)
    steps = [Convolution("mix", kernel, np.zeros(3, np.float32), dilation=1, relu=False)]
    graph = OnnxGraph(CARD)
    x = graph.normalised_image(IMAGENET_TORCH)
    for scope in ("once/", "twice/"):
        x = graph.layers(x, steps, scope=scope)
    graph.add("Transpose", x, name="density", perm=[0, 2, 3, 1])
    assert [tensor.name for tensor in graph.initializers].count("mix/kernel_fp16") == 1
    (got,) = onnxruntime.InferenceSession(graph.to_bytes()).run(None, {"image": IMAGES})
    np.testing.assert_allclose(got, normalise(IMAGES, IMAGENET_TORCH) @ kernel[0, 0] @ kernel[0, 0], atol=1e-5)


def test_uint8_feeds_a_cast_and_nothing_else() -> None:
    """TensorRT accepts a UINT8 input only into a cast."""
    consumers = [node.op_type for node in normalising_model(IMAGENET_TORCH).graph.node if "image" in node.input]
    assert consumers == ["Cast"]


def test_ir_and_opset_versions_are_supported_by_the_runtimes() -> None:
    model = normalising_model(IMAGENET_CAFFE)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert model.ir_version == IR_VERSION


def test_weights_are_stored_in_half_precision() -> None:
    graph = OnnxGraph(CARD)
    graph.weight("kernel", np.array([1 / 3, -2.5e-3], np.float32))
    (stored,) = graph.initializers
    assert stored.data_type == TensorProto.FLOAT16
    np.testing.assert_array_equal(numpy_helper.to_array(stored), np.array([1 / 3, -2.5e-3], np.float16))


@pytest.mark.parametrize("value", [7e4, -np.inf, np.nan])
def test_weights_that_fp16_cannot_hold_are_refused(value: float) -> None:
    with pytest.raises(WeightsError, match=r"kernel reaches .* FP16 ends at 65504"):
        OnnxGraph(CARD).weight("kernel", np.array([1, value], np.float32))


def test_same_network_gives_the_same_bytes() -> None:
    first, second = (normalising_model(IMAGENET_TORCH).SerializeToString() for _ in range(2))
    assert first == second
