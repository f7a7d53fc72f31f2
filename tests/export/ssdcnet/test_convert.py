import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from crowdserve.cards import IMAGENET_UNIT, SHANGHAITECH_A, find_card
from crowdserve.errors import ParityError
from crowdserve.nets.ssdcnet import SSDCNet
from export.ssdcnet import convert as exporter
from export.ssdcnet.checkpoint import Checkpoint
from export.ssdcnet.graph import build_onnx
from export.verify.images import PHOTO, read_photo, scaled
from export.verify.parity import Images, Outputs, Reference, check_parity

CARD = find_card("ssdcnet_sha")
STRICT = replace(CARD, tolerance=replace(CARD.tolerance, relative=1e-5, count_people=1e-5, outlier_share=0.0))
"""For weights that are FP16 numbers: only the order of additions differs, so no class may flip."""

TENSORRT = {"Add", "ArgMax", "AveragePool", "Cast", "Concat", "Conv", "Div", "Exp", "Gather", "MaxPool", "Mul", "Pad"}
TENSORRT |= {"ReduceSum", "Relu", "Resize", "Shape", "Sigmoid", "Squeeze", "Sub", "Transpose"}
"""Operators of this graph, all of them in TensorRT's support matrix for the types that they have here."""


@pytest.fixture(scope="module")
def checkpoint(ssdcnet: SSDCNet) -> Checkpoint:
    return Checkpoint(ssdcnet, IMAGENET_UNIT, {"card": CARD.name})


@pytest.fixture(scope="module")
def exported(checkpoint: Checkpoint) -> bytes:
    return build_onnx(checkpoint.net, CARD, checkpoint.normalisation)


@pytest.fixture(scope="module")
def images() -> list[Images]:
    """Batches of two and one: a multiple of 64 px, of 8 px only, and of nothing."""
    photo = read_photo(PHOTO)
    whole, padded, odd = scaled(photo, 64, 128), scaled(photo, 72, 136), scaled(photo, 67, 131)
    return [np.concatenate([whole, whole[:, ::-1, :, ::-1]]), padded, odd]


@pytest.fixture(scope="module")
def reference(checkpoint: Checkpoint) -> Reference:
    """PyTorch's outputs, each computed once."""
    answer = exporter.torch_reference(checkpoint)
    known: dict[tuple[int, ...], Outputs] = {}

    def remembered(batch: Images) -> Outputs:
        if batch.shape not in known:
            known[batch.shape] = answer(batch)
        return known[batch.shape]

    return remembered


def test_export_agrees_with_pytorch(exported: bytes, reference: Reference, images: list[Images]) -> None:
    assert len(check_parity(exported, STRICT, reference, images)) == 3 * len(images)
    counts = np.concatenate([reference(batch)["map"].ravel() for batch in images])
    assert len(np.unique(counts.round(1))) > 20  # otherwise the comparison proves nothing


@pytest.mark.parametrize("spoil", ["normalisation", "weight", "table"])
def test_altered_export_fails_parity(
    checkpoint: Checkpoint, exported: bytes, reference: Reference, images: list[Images], spoil: str
) -> None:
    """With the card's tolerance, which allows one or two classes to flip."""
    model = onnx.load_from_string(exported)
    if spoil == "normalisation":
        model = onnx.load_from_string(build_onnx(checkpoint.net, CARD, SHANGHAITECH_A))
    else:
        name = {"weight": "back_end_up.0.conv2.conv.2/kernel_fp16", "table": "table"}[spoil]
        tensor = next(t for t in model.graph.initializer if t.name == name)
        array = np.roll(onnx.numpy_helper.to_array(tensor), 1, axis=0)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    with pytest.raises(ParityError, match="map"):
        check_parity(model.SerializeToString(), CARD, reference, images[:2])


def test_operators_are_supported_by_tensorrt(exported: bytes) -> None:
    graph = onnx.load_from_string(exported).graph
    assert {node.op_type for node in graph.node} == TENSORRT
    resizes = [{a.name: a for a in node.attribute} for node in graph.node if node.op_type == "Resize"]
    modes = [(a["mode"].s, a["coordinate_transformation_mode"].s) for a in resizes]
    assert modes.count((b"linear", b"half_pixel")) == 2
    assert modes.count((b"nearest", b"asymmetric")) == len(modes) - 2


def test_weights_are_stored_once_in_two_bytes(exported: bytes) -> None:
    assert len(exported) == pytest.approx(2 * CARD.parameters, rel=2e-3)
    assert len(exported) < 60e6
    names = [tensor.name for tensor in onnx.load_from_string(exported).graph.initializer]
    assert len(set(names)) == len(names)


def test_same_network_gives_the_same_bytes(checkpoint: Checkpoint, exported: bytes) -> None:
    assert build_onnx(checkpoint.net, CARD, checkpoint.normalisation) == exported


@pytest.mark.parametrize(("height", "width"), [(64, 64), (72, 64), (64, 200), (1, 1), (65, 127)])
def test_map_covers_the_image_in_whole_cells_of_64_px(exported: bytes, height: int, width: int) -> None:
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    found, count = session.run(["map", "count"], {"image": np.zeros((2, height, width, 3), np.uint8)})
    assert found.shape == (2, 4 * -(-height // 64), 4 * -(-width // 64))
    np.testing.assert_allclose(count[:, 0], found.sum((1, 2)), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("without_largest_size")
def test_command_writes_into_a_repository(ssdcnet: SSDCNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, repository = tmp_path / "best_epoch.pth", tmp_path / "repository"
    torch.save({"net_state_dict": ssdcnet.state_dict()}, path)
    (repository / CARD.name / "1").mkdir(parents=True)
    exporter.main([str(path), "--card", CARD.name, "--repository", str(repository)])  # never replaces version 1
    assert not list((repository / CARD.name / "1").iterdir())
    assert {path.name for path in (repository / CARD.name / "2").iterdir()} == {"model.onnx", "meta.json"}
    assert json.loads((repository / CARD.name / "2" / "meta.json").read_text())["source"] == "published pth"
    assert "5 batches" in capsys.readouterr().out


def test_network_without_a_route_is_not_evaluated(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: --evaluate measures .* no route runs ssdcnet_qnrf"):
        exporter.main(["none.pth", "--card", "ssdcnet_qnrf", "--repository", str(tmp_path), "--evaluate", str(dataset)])


def test_command_fails_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        exporter.main([str(PHOTO), "--card", CARD.name, "--repository", str(tmp_path)])
    assert str(stop.value).startswith("error: ")
    assert "\n" not in str(stop.value)
    assert not list(tmp_path.iterdir())
