"""A pooling network, small enough to be computed in numpy, with one fault at a time."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from crowdserve.cards import CARDS, Tolerance
from crowdserve.errors import ParityError
from export.verify.parity import COUNT_DIFFERENCE, Images, Outputs, check_counts, check_parity

CARD = replace(CARDS["csrnet_a"], name="pooling", tolerance=Tolerance(relative=1e-3, count_people=1e-3))
WEIGHTS = np.array([0.01, 0.02, 0.03], np.float32)
RNG = np.random.default_rng(0)
IMAGES = [
    RNG.integers(0, 256, (batch, height, width, 3), np.uint8) for batch, height, width in [(2, 64, 80), (1, 43, 29)]
]


def reference(images: Images) -> Outputs:
    """Mean of each 8x8 block, weighted over the channels."""
    batch, height, width, _ = images.shape
    whole = images[:, : height // 8 * 8, : width // 8 * 8].astype(np.float32)
    means = whole.reshape(batch, height // 8, 8, width // 8, 8, 3).mean(axis=(2, 4))
    density = means @ WEIGHTS
    return {"density": density, "count": density.sum(axis=(1, 2))[:, np.newaxis]}


@pytest.fixture
def model() -> onnx.ModelProto:
    """The same in ONNX."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["nchw"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8], ceil_mode=0),
        helper.make_node("Conv", ["pooled", "weights"], ["map"]),
        helper.make_node("Squeeze", ["map", "one"], ["density"]),
        helper.make_node("ReduceSum", ["map", "two_three"], ["count"], keepdims=0),
    ]
    constants = {"weights": WEIGHTS.reshape(1, 3, 1, 1), "one": np.array([1]), "two_three": np.array([2, 3])}
    axes = {"image": ["height", "width", 3], "density": ["height/8", "width/8"], "count": [1]}
    dtypes = {"image": TensorProto.UINT8}
    image, density, count = (
        helper.make_tensor_value_info(name, dtypes.get(name, TensorProto.FLOAT), ["batch", *rest])
        for name, rest in axes.items()
    )
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "pooling", [image], [density, count], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def output(model: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    return next(tensor for tensor in model.graph.output if tensor.name == name)


def replace_output(model: onnx.ModelProto, name: str, op: str, *inputs: str, **attributes: int) -> None:
    """Compute an output with a further node."""
    node = next(node for node in model.graph.node if name in node.output)
    node.output[0] = f"{name}_before"
    model.graph.node.append(helper.make_node(op, [f"{name}_before", *inputs], [name], **attributes))


def rename_output(model: onnx.ModelProto) -> None:
    output(model, "count").name = "people"
    replace_output(model, "count", "Identity")
    model.graph.node[-1].output[0] = "people"


def swap_outputs(model: onnx.ModelProto) -> None:
    density, count = (onnx.ValueInfoProto.FromString(o.SerializeToString()) for o in model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend([count, density])


def rename_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "photo"
    model.graph.node[0].input[0] = "photo"


def rename_axis(model: onnx.ModelProto) -> None:
    output(model, "density").type.tensor_type.shape.dim[1].dim_param = "rows"


def fix_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def count_in_fp16(model: onnx.ModelProto) -> None:
    output(model, "count").type.tensor_type.elem_type = TensorProto.FLOAT16
    replace_output(model, "count", "Cast", to=TensorProto.FLOAT16)


def image_as_float(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def round_sizes_up(model: onnx.ModelProto) -> None:
    next(a for a in model.graph.node[2].attribute if a.name == "ceil_mode").i = 1


def set_weights(model: onnx.ModelProto, weights: np.ndarray) -> None:
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights.reshape(1, 3, 1, 1), "weights"))


def swap_channels(model: onnx.ModelProto) -> None:
    set_weights(model, WEIGHTS[::-1].copy())


def spoil_weight(model: onnx.ModelProto) -> None:
    set_weights(model, WEIGHTS * np.array([1, np.nan, 1], np.float32))


def scale_count(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1.002), "scale"))
    replace_output(model, "count", "Mul", "scale")


def need_a_wide_image(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([60]), "column"))
    model.graph.node.insert(3, helper.make_node("Gather", ["nchw", "column"], ["strip"], axis=3))
    model.graph.node.insert(4, helper.make_node("ReduceMin", ["strip"], ["least"], keepdims=0))
    replace_output(model, "count", "Add", "least")


FAULTS: list[tuple[Callable[[onnx.ModelProto], None], str]] = [
    (rename_output, r"outputs \['density', 'people'\], its card has \['density', 'count'\]"),
    (swap_outputs, r"outputs \['count', 'density'\], its card has"),
    (rename_input, r"inputs \['photo'\], its card has \['image'\]"),
    (rename_axis, r"density has the axes \['batch', 'rows', 'width/8'\], its card has"),
    (fix_batch, r"image has the axes \[1, 'height', 'width', 3\]"),
    (count_in_fp16, r"count is a tensor\(float16\), its card says FP32"),
    (image_as_float, r"image is a tensor\(float\), its card says UINT8"),
    (round_sizes_up, r"density has the shape \(1, 6, 4\), the framework's has \(1, 5, 3\)"),
    (need_a_wide_image, r"fails on images of shape \(1, 43, 29, 3\)"),
    (swap_channels, r"differs from the framework: density .* on 2 x 64x80 px \(tolerance 1e-03\)"),
    (spoil_weight, r"differs from the framework: density +nan"),
    (scale_count, r"differs from the framework: count +2.0e-03"),
]


def test_faithful_model_passes(model: onnx.ModelProto) -> None:
    comparisons = check_parity(model.SerializeToString(), CARD, reference, IMAGES)
    checked = [(c.output, c.images) for c in comparisons]
    shapes = [images.shape for images in IMAGES]
    assert checked == [(name, shape) for name in ("density", "sum of density", "count") for shape in shapes]
    assert max(c.difference for c in comparisons) < 1e-5


@pytest.mark.parametrize(("spoil", "message"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_kind_of_fault_fails_with_its_own_message(
    model: onnx.ModelProto, spoil: Callable[[onnx.ModelProto], None], message: str
) -> None:
    spoil(model)
    with pytest.raises(ParityError, match=message):
        check_parity(model.SerializeToString(), CARD, reference, IMAGES)


def test_tolerance_decides_the_result(model: onnx.ModelProto) -> None:
    set_weights(model, WEIGHTS * np.float32(1.0005))
    check_parity(model.SerializeToString(), CARD, reference, IMAGES)
    strict = replace(CARD, tolerance=Tolerance(relative=1e-4, count_people=1e-3))
    with pytest.raises(ParityError, match="density"):
        check_parity(model.SerializeToString(), strict, reference, IMAGES)
    strict = replace(CARD, tolerance=Tolerance(relative=1e-3, count_people=1e-4))
    with pytest.raises(ParityError, match="sum of density"):
        check_parity(model.SerializeToString(), strict, reference, IMAGES)


def move_cell(images: Images, people: float) -> Outputs:
    """The reference with one cell of the last image changed by `people`; the count changes accordingly."""
    outputs = {name: values.copy() for name, values in reference(images).items()}
    outputs["density"][-1, 0, 0] += people
    outputs["count"][-1] += people
    return outputs


def test_share_of_cells_may_deviate_if_the_count_agrees(model: onnx.ModelProto) -> None:
    """The smallest map has 15 cells, so that a twentieth of them is less than one and a tenth is one."""
    content, moved = model.SerializeToString(), lambda images: move_cell(images, 0.5)
    for outlier_share, passes in ((0.0, False), (0.05, False), (0.1, True)):
        card = replace(
            CARD, tolerance=Tolerance(relative=1e-3, count_people=1e-2, count_floor=50, outlier_share=outlier_share)
        )
        if passes:
            check_parity(content, card, moved, IMAGES)
        else:
            with pytest.raises(ParityError, match="differs from the framework: density"):
                check_parity(content, card, moved, IMAGES)


def test_small_counts_are_compared_absolutely(model: onnx.ModelProto) -> None:
    tolerance = Tolerance(relative=1e-3, count_people=1e-2, count_floor=50, outlier_share=0.1)
    with pytest.raises(ParityError, match="differs from the framework: sum of density"):
        check_parity(
            model.SerializeToString(),
            replace(CARD, tolerance=tolerance),
            lambda images: move_cell(images, 2.0),
            IMAGES,
        )


def test_images_with_zero_reference_output_are_refused(model: onnx.ModelProto) -> None:
    black = [np.zeros_like(images) for images in IMAGES]
    with pytest.raises(ParityError, match="nothing to compare; give a photo with people"):
        check_parity(model.SerializeToString(), CARD, reference, black)


def test_file_without_a_model_fails() -> None:
    with pytest.raises(ParityError, match="ONNX Runtime cannot load"):
        check_parity(b"not ONNX", CARD, reference, IMAGES)


def test_head_counts_of_photos_are_compared(model: onnx.ModelProto) -> None:
    photos = [IMAGES[1], IMAGES[0][:1]]
    assert max(check_counts(model.SerializeToString(), CARD, reference, iter(photos))) < 1e-5
    scale_count(model)
    differences = check_counts(model.SerializeToString(), CARD, reference, photos)
    assert differences == pytest.approx([0.002, 0.002], rel=1e-2)


@pytest.mark.parametrize("people", [1.1, float("nan")])
def test_photo_with_a_different_count_fails(model: onnx.ModelProto, people: float) -> None:
    def other(images: Images) -> Outputs:
        more = (people if len(images[0]) == 43 else 0) * COUNT_DIFFERENCE * float(reference(images)["count"][0, 0])
        return move_cell(images, -more)

    with pytest.raises(
        ParityError, match=r"counts [\d.]+ people in photo 1 where the framework counts .*0\.5% is allowed"
    ):
        check_counts(model.SerializeToString(), CARD, other, [IMAGES[0][:1], IMAGES[1]])
