"""Checkpoints that are no CSRNet, damaged, or made to do harm: each is refused in one line."""

import io
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from crowdserve.errors import WeightsError
from export.csrnet.checkpoint import load_csrnet
from export.foreign.chain import CSRNET
from export.foreign.checkpoint import read_foreign
from tests.support.saved_networks import KERAS, TF_SERVING, WAYS, public_keras_csrnet, save_as_tensorflow_1
from tests.support.weights import ConvWeights


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
        load_csrnet(path, "csrnet_a")


@pytest.mark.parametrize("name", ["csrnet/saved_model.pb", "csrnet.keras", "csrnet.h5", "csrnet.npz", "csrnet.pth"])
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"PK\x03\x04 and nothing of a network" * 9)
    with pytest.raises(WeightsError, match=r"(truncated|damaged|not an HDF5).*(again|h5)"):
        load_csrnet(path.parent if path.suffix == ".pb" else path, "csrnet_a")


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


def cut_convolution(node: Any) -> None:
    if node.op == "Conv2D":
        del node.input[1:]


def cut_read(node: Any) -> None:
    if node.op in {"Identity", "ReadVariableOp"}:
        del node.input[:]


def enlarge_constant(node: Any) -> None:
    if node.op == "Const":
        node.attr["value"].tensor.tensor_shape.dim.add(size=1 << 40)


@pytest.fixture(scope="module")
def tensorflow_1(csrnet_weights: ConvWeights, module_folder: Path) -> Path:
    """A SavedModel of TensorFlow 1."""
    folder = module_folder / "csrnet"
    save_as_tensorflow_1(csrnet_weights, folder)
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_convolution, "damaged or no SavedModel"),
        (cut_read, "damaged or no SavedModel"),
        (enlarge_constant, r"its constant .* numbers, which no network here has"),
    ],
)
def test_odd_graphs_are_refused(
    change: Callable[[Any], None], message: str, tensorflow_1: Path, tmp_path: Path
) -> None:
    shutil.copytree(tensorflow_1, tmp_path / "csrnet", copy_function=os.link)
    file = tmp_path / "csrnet" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for node in model.meta_graphs[0].graph_def.node:
        change(node)
    file.unlink()  # it is the other folder's too
    file.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=message):
        read_foreign(tmp_path / "csrnet", CSRNET)


@pytest.mark.parametrize("name", ["csrnet.onnx", "csrnet.tflite", "frozen.pb", "model.ckpt", "model.plan"])
def test_what_is_made_of_a_checkpoint_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x08\x07 something else")
    with pytest.raises(WeightsError, match="which is not read; give the checkpoint that it was made from"):
        load_csrnet(tmp_path / name, "csrnet_a")
