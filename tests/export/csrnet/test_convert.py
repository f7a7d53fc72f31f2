import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import keras
import onnx
import pytest

from crowdserve.cards import IMAGENET_CAFFE, IMAGENET_TORCH, find_card
from crowdserve.cards.records import model_sha256
from crowdserve.errors import ParityError
from export.command import default_version
from export.csrnet import convert as exporter
from export.csrnet.checkpoint import Checkpoint, load_csrnet
from export.verify.images import PHOTO
from export.verify.parity import Images, check_parity
from tests.support.datasets import write_dotted_photos
from tests.support.paths import REPOSITORY
from tests.support.versions import told
from tests.support.weights import ConvWeights, write_published

CARD = find_card("csrnet_b")


@pytest.fixture
def checkpoint(csrnet: keras.Model) -> Checkpoint:
    return Checkpoint(csrnet, IMAGENET_CAFFE, {})


def test_every_layer_is_one_plain_node(checkpoint: Checkpoint) -> None:
    model = onnx.load_from_string(exporter.build_onnx(checkpoint, CARD))
    operators = Counter(node.op_type for node in model.graph.node)
    image, heads = {"Transpose": 1, "Gather": 1, "Sub": 1}, {"Squeeze": 1, "ReduceSum": 1}
    assert operators == {**image, "Cast": 1 + 17, "Conv": 17, "Relu": 17, "MaxPool": 3, **heads}
    attributes = [{a.name: list(a.ints) for a in node.attribute} for node in model.graph.node if node.op_type == "Conv"]
    assert [a["dilations"] for a in attributes] == [[1, 1]] * 10 + [[2, 2]] * 6 + [[1, 1]]
    assert [a["pads"][0] for a in attributes] == [1] * 10 + [2] * 6 + [0]


def test_file_takes_two_bytes_per_weight(checkpoint: Checkpoint) -> None:
    assert len(exporter.build_onnx(checkpoint, CARD)) == pytest.approx(2 * CARD.parameters, rel=2e-3)


def test_export_agrees_with_keras(checkpoint: Checkpoint, small_images: list[Images]) -> None:
    model = exporter.build_onnx(checkpoint, CARD)
    comparisons = check_parity(model, CARD, exporter.keras_reference(checkpoint), small_images)
    assert len(comparisons) == 3 * len(small_images)
    if not any(isinstance(layer, keras.layers.BatchNormalization) for layer in checkpoint.model.layers[1].layers):
        assert max(comparison.difference for comparison in comparisons) < 1e-4  # these weights are FP16 numbers


@pytest.mark.parametrize("csrnet", [False], indirect=True)
def test_wrong_normalisation_or_weight_fails_parity(
    checkpoint: Checkpoint, small_images: list[Images], csrnet_weights: ConvWeights
) -> None:
    reference = exporter.keras_reference(checkpoint)
    other = exporter.build_onnx(replace(checkpoint, normalisation=IMAGENET_TORCH), CARD)
    with pytest.raises(ParityError, match="density"):
        check_parity(other, CARD, reference, small_images)
    flipped = onnx.load_from_string(exporter.build_onnx(checkpoint, CARD))
    kernel = next(t for t in flipped.graph.initializer if t.name == "dilated_conv3/kernel_fp16")
    array = onnx.numpy_helper.to_array(kernel)[..., ::-1].copy()
    kernel.CopyFrom(onnx.numpy_helper.from_array(array, kernel.name))
    with pytest.raises(ParityError, match="density"):
        check_parity(flipped.SerializeToString(), CARD, reference, small_images)


def test_published_file_exports_with_parity(
    csrnet_weights: ConvWeights, published_layout: str, small_images: list[Images], tmp_path: Path
) -> None:
    checkpoint = load_csrnet(write_published(tmp_path / "a.h5", csrnet_weights, published_layout), CARD.name)
    model = exporter.build_onnx(checkpoint, CARD)
    comparisons = check_parity(model, CARD, exporter.keras_reference(checkpoint), small_images)
    assert max(comparison.difference for comparison in comparisons) < 1e-4  # these weights are FP16 numbers
    assert [node.op_type for node in onnx.load_from_string(model).graph.node].count("Div") == 2  # 255 and std


@pytest.mark.slow
@pytest.mark.usefixtures("without_largest_size")
@pytest.mark.parametrize("csrnet", [True], indirect=True)
def test_command_writes_into_a_repository_and_evaluates(
    checkpoint_folder: Path,
    small_repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As a new version, which the service then runs; the other networks are the small ones."""
    repository = shutil.copytree(small_repository, tmp_path / "repository")
    folder = repository / CARD.name / "2"
    (dataset := tmp_path / "dataset").mkdir()
    write_dotted_photos(dataset, photos=3)
    monkeypatch.chdir(tmp_path)
    target = ["--card", CARD.name, "--repository", str(repository), "--version", "2"]
    exporter.main([str(checkpoint_folder), *target, "--evaluate", str(dataset)])
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "meta.json", "evaluation.json"}
    meta = json.loads((folder / "meta.json").read_text())
    assert meta.pop("model_sha256") == model_sha256(folder)
    assert meta == json.loads((checkpoint_folder / "meta.json").read_text())
    printed = capsys.readouterr().out
    assert "5 batches" in printed
    assert f"wrote {folder / 'model.onnx'}" in printed
    assert "head counts of 3 photos differ by at most 0.0" in printed
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["errors"]["all"]["all photos"]["photos"] == 3
    (output,) = (tmp_path / "evaluation").iterdir()
    assert json.loads((output / "summary.json").read_text())["models"][CARD.name] == told(2)


def test_only_a_trained_checkpoint_replaces_version_1_by_default(checkpoint_folder: Path, tmp_path: Path) -> None:
    served, published = REPOSITORY / CARD.name / "1", tmp_path / "published.h5"
    published.touch()
    for newest in (1, 4):
        (tmp_path / CARD.name / str(newest)).mkdir(parents=True)
        found = [default_version(CARD, source, tmp_path) for source in (checkpoint_folder, published, served)]
        assert found == [1, newest + 1, newest + 1]
    assert default_version(CARD, published, tmp_path / "empty") == 1


def test_tflite_file_is_not_evaluated(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        exporter.main(["none.h5", "--card", CARD.name, "--format", "tflite", "--evaluate", str(dataset)])
    assert "--evaluate measures a new model in the service" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.h5"], "error: none.h5 does not exist"),
        ([str(PHOTO)], "truncated or not an HDF5 file"),
        (["none.h5", "--photo", "none.jpg"], "error: cannot read the photo none.jpg"),
    ],
)
def test_command_fails_with_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        exporter.main([*arguments, "--card", CARD.name, "--repository", str(tmp_path)])
    assert message in str(stop.value)
    assert "\n" not in str(stop.value)
    assert not list(tmp_path.iterdir())


def test_command_exports_counting_networks_of_this_family_only(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        exporter.main(["none.h5", "--card", "vgg16"])
    assert "invalid choice: 'vgg16'" in capsys.readouterr().err
