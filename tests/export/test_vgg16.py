import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from crowdserve.cards import VGG16
from crowdserve.images import scene_input
from crowdserve.nets.vgg16 import build_vgg16, conv_layers
from export import vgg16 as exporter
from export.verify.images import PHOTO, read_photo
from export.verify.parity import check_parity
from tests.support.paths import ROOT

COMMITTED = ROOT / "model_repository" / "vgg16" / "1" / "model.onnx"


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return scene_input(read_photo(PHOTO))[np.newaxis]


@pytest.fixture(scope="module")
def committed_weights() -> list[np.ndarray]:
    """Kernels (in the FP16 they are stored in) and biases of the committed model, in Keras' order and layout."""
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(COMMITTED).graph.initializer}
    names = [layer.name for layer in conv_layers(build_vgg16())]
    pairs = ((tensors[f"{n}/kernel_fp16"].transpose(2, 3, 1, 0), tensors[f"{n}/bias"]) for n in names)
    return [array.astype(np.float32) for pair in pairs for array in pair]


def test_export_agrees_with_keras(committed_weights: list[np.ndarray], image: np.ndarray) -> None:
    model = build_vgg16()
    model.set_weights(committed_weights)
    pair = np.concatenate([image, image[:, ::-1]])
    comparisons = check_parity(exporter.build_onnx(model), VGG16, exporter.keras_reference(model), [pair])
    assert max(comparison.difference for comparison in comparisons) < 1e-5  # FP16 loses nothing a second time


def test_committed_model_gives_the_features_of_keras_applications(
    committed_weights: list[np.ndarray], image: np.ndarray
) -> None:
    """Keras' own network and preprocessing on a photo: colours, means and the NHWC order of the flattening."""
    oracle = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3))
    oracle.set_weights(committed_weights)
    expected = np.asarray(oracle(keras.applications.vgg16.preprocess_input(image.astype(np.float32)))).reshape(1, -1)
    (features,) = onnxruntime.InferenceSession(COMMITTED).run(["features"], {"image": image})
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * expected.max())
    assert features.shape == (1, 25_088)


def test_command_help_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        exporter.main(["--help"])
    assert stop.value.code == 0
    assert "model_repository" in capsys.readouterr().out
