from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from crowdserve.cards import IMAGENET_CAFFE, IMAGENET_TORCH, VGG16, find_card
from crowdserve.errors import ParityError, SetupError
from crowdserve.nets.normalisation import normalise
from export.csrnet import convert as exporter
from export.csrnet.checkpoint import Checkpoint
from export.csrnet.tflite import build_tflite, check_tflite, release_tflite
from export.verify.images import PHOTO, read_photo, scaled
from export.verify.parity import Images, Outputs, Reference
from tests.support.paths import REPOSITORY

CARD = find_card("csrnet_b")
SIZES_PX = ((64, 96), (120, 88), (75, 67))


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """A small chain of every layer type of CSRNet, with a density that is positive nearly everywhere."""
    keras.utils.set_random_seed(4)
    images = x = keras.Input((None, None, 3))
    for width in (8, 12, 16):
        x = keras.layers.Conv2D(width, 3, padding="same", activation="relu", kernel_initializer="he_normal")(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Conv2D(16, 3, padding="same", dilation_rate=2, kernel_initializer="he_normal")(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    density = keras.layers.Conv2D(1, 1, bias_initializer=keras.initializers.Constant(0.05), activation="relu")(x)
    return Checkpoint(keras.Model(images, density), IMAGENET_TORCH, {})


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> bytes:
    return build_tflite(checkpoint, CARD)


@pytest.fixture(scope="module")
def images() -> list[Images]:
    return [scaled(read_photo(PHOTO), *size) for size in SIZES_PX]


def test_one_file_takes_every_size_and_agrees_with_keras(
    model: bytes, checkpoint: Checkpoint, images: list[Images]
) -> None:
    comparisons = check_tflite(model, CARD, exporter.keras_reference(checkpoint), images)
    assert {comparison.images for comparison in comparisons} == {(1, *size, 3) for size in SIZES_PX}
    assert {comparison.output for comparison in comparisons} == {"density", "sum of density", "count"}


def test_weights_take_two_bytes(checkpoint: Checkpoint, model: bytes) -> None:
    wider = keras.layers.Conv2D(64, 3, padding="same")
    x = wider(checkpoint.model.layers[-2].output)
    density = keras.layers.Conv2D(1, 1)(x)
    larger = build_tflite(Checkpoint(keras.Model(checkpoint.model.input, density), IMAGENET_TORCH, {}), CARD)
    added = wider.count_params() + 64 - 16  # the last layer has 64 inputs instead of 16
    assert len(larger) - len(model) == pytest.approx(2 * added, rel=0.1)


@pytest.mark.slow
@pytest.mark.usefixtures("without_largest_size")
def test_served_network_converts_to_tflite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command compares it with Keras on three images; here it is compared with the served ONNX model."""
    served, output = REPOSITORY / CARD.name / "1", tmp_path / "b.tflite"
    exporter.main([str(served), "--card", CARD.name, "--format", "tflite", "--output", str(output)])
    assert "names, dtypes and shapes agree; 3 images" in capsys.readouterr().out
    assert 30e6 < output.stat().st_size < 36e6
    photo = scaled(read_photo(PHOTO), 384, 512)
    found = Interpreter(str(output)).get_signature_runner()(image=photo)["count"]
    session = onnxruntime.InferenceSession(str(served / "model.onnx"), providers=["CPUExecutionProvider"])
    (expected,) = session.run(["count"], {"image": photo})
    assert float(found[0, 0]) == pytest.approx(float(expected[0, 0]), rel=5e-3, abs=0.01)
    assert float(expected[0, 0]) > 2


def twice(reference: Reference) -> Reference:
    return lambda images: {name: 2 * output for name, output in reference(images).items()}


def a_row_short(reference: Reference) -> Reference:
    return lambda images: {**reference(images), "density": reference(images)["density"][:, 1:]}


@pytest.mark.parametrize(("change", "message"), [(twice, "differs from the framework"), (a_row_short, "shape")])
def test_inaccurate_model_is_refused_and_not_written(
    change: Callable[[Reference], Reference],
    message: str,
    model: bytes,
    checkpoint: Checkpoint,
    images: list[Images],
    tmp_path: Path,
) -> None:
    reference = change(exporter.keras_reference(checkpoint))
    with pytest.raises(ParityError, match=message):
        release_tflite(model, CARD, reference, images=images, output=tmp_path / "a.tflite")
    assert not list(tmp_path.iterdir())


def test_wrong_normalisation_fails_parity(model: bytes, checkpoint: Checkpoint, images: list[Images]) -> None:
    def reference(images: Images) -> Outputs:
        density = np.asarray(checkpoint.model(normalise(images, IMAGENET_CAFFE)))[..., 0]
        return {"density": density, "count": density.sum(axis=(1, 2))[:, np.newaxis]}

    with pytest.raises(ParityError, match="density"):
        check_tflite(model, CARD, reference, images)


def test_other_model_is_refused(model: bytes, checkpoint: Checkpoint, images: list[Images]) -> None:
    with pytest.raises(ParityError, match="cannot load"):
        check_tflite(b"no flatbuffer", CARD, exporter.keras_reference(checkpoint), images)
    with pytest.raises(ParityError, match=r"its card has .*features"):
        check_tflite(model, VGG16, exporter.keras_reference(checkpoint), images)


def test_released_file_is_complete(
    model: bytes,
    checkpoint: Checkpoint,
    images: list[Images],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference = exporter.keras_reference(checkpoint)
    batch = np.concatenate([images[0], images[0]])  # skipped: phones count one image at a time
    target = release_tflite(model, CARD, reference, images=[batch, *images], output=tmp_path / "new" / "a.tflite")
    assert target.read_bytes() == model
    assert "3 images" in capsys.readouterr().out
    with pytest.raises(SetupError, match="--output"):
        release_tflite(model, CARD, reference, images=images, output=target / "b.tflite")


def test_command_accepts_the_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--card", CARD.name, "--output", str(tmp_path / "b.tflite")]
    with pytest.raises(SystemExit) as stop:
        exporter.main(["none.h5", "--format", "tflite", *flags])
    assert str(stop.value).startswith("error: none.h5 does not exist")
    with pytest.raises(SystemExit):
        exporter.main(["none.h5", "--format", "coreml", *flags])
    assert "choose from" in capsys.readouterr().err
