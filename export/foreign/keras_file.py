"""Whole models of Keras: `.keras` files and `.h5` files of `model.save`, read as JSON and HDF5.

Keras itself is not asked to load them, because a model's configuration can name code to run. Files of weights alone
have no configuration; `crowdserve.nets.published` reads those.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from crowdserve.errors import WeightsError
from crowdserve.nets.published import Array, ConvWeights
from export.foreign.zip_files import check_arrays, check_inflated_size, damage_told, member_names
from export.graph.chain import Convolution, Pooling, Step

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_NESTED = {"Functional", "Model", "Sequential"}
_WITHOUT_EFFECT = {"InputLayer", "Activation", "ReLU", "Dropout", "SpatialDropout2D", "ActivityRegularization"}
_HEAD = {"Flatten", "Dense", "Dropout", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Activation", "Reshape"}
_EXPECTED = "expected a chain of convolutions with ReLUs and poolings, without batch normalisation"

Layer = Mapping[str, Any]


def is_keras_model(path: Path) -> bool:
    """Whether a file holds a whole model of Keras, not weights alone."""
    if {_CONFIG, _WEIGHTS} <= set(member_names(path)):
        return True
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with damage_told(path, "HDF5 file"), h5py.File(path) as file:
        return "model_config" in file.attrs


def read_keras_model(path: Path) -> tuple[list[Step], list[str]]:
    """The steps of a model up to its last convolution or pooling, and the layers before the first convolution.

    Raises:
        WeightsError: If the file is damaged, or the model is no such chain.
    """
    check_inflated_size(path)
    with damage_told(path, "model of Keras"):
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                layers = list(_layers(json.loads(file.attrs["model_config"])))
                return _steps(path, layers, _LegacyArrays(file["model_weights"]))
        with zipfile.ZipFile(path) as archive:
            layers = list(_layers(json.loads(archive.read(_CONFIG))))
            with h5py.File(io.BytesIO(archive.read(_WEIGHTS))) as file:
                check_arrays(path, file)
                return _steps(path, layers, _Arrays(file))


def has_numbered_weights(path: Path) -> bool:
    """Whether a file has the weights alone, as Keras 3 saves them: `.weights.h5`."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with damage_told(path, "HDF5 file"), h5py.File(path) as file:
        return "layers" in file and "layer_names" not in file.attrs


def read_numbered_weights(path: Path) -> ConvWeights:
    """The convolutions of such a file, in order.

    Raises:
        WeightsError: If it is damaged.
    """
    check_inflated_size(path)
    with damage_told(path, "file of weights"), h5py.File(path) as file:
        return list(_Arrays(file["layers"]))


def _layers(model: Layer) -> Iterator[Layer]:
    """The layers of a model and of the models in it, in order."""
    for layer in model["config"]["layers"]:
        if layer["class_name"] in _NESTED:
            yield from _layers(layer)
        else:
            yield layer


def _steps(path: Path, layers: Sequence[Layer], arrays: "_Arrays") -> tuple[list[Step], list[str]]:
    steps: list[Step] = []
    before: list[str] = []
    in_head = False
    for layer in layers:
        kind, config = layer["class_name"], layer["config"]
        if kind == "Conv2D" and not in_head:
            _check_convolution(path, config)
            steps.append(_convolution(config, *arrays.of(config["name"])))
        elif kind == "MaxPooling2D" and not in_head and _sides(config, "pool_size", "strides") == {2}:
            steps.append(Pooling(config["name"]))
        elif _is_relu(kind, config) and steps and isinstance(steps[-1], Convolution):
            steps[-1] = replace(steps[-1], relu=True)
        elif not steps and kind not in _WITHOUT_EFFECT:
            before.append(f"{kind} {config['name']}")
        elif steps and kind in _HEAD:
            in_head = in_head or kind not in {"Dropout", "Activation"}
        elif kind not in _WITHOUT_EFFECT or kind in {"Activation", "ReLU"}:
            raise WeightsError(f"{path} has the layer {config['name']} of the kind {kind}; {_EXPECTED}")
    return steps, before


def _check_convolution(path: Path, config: Layer) -> None:
    dilations = _sides(config, "dilation_rate")
    same = config["padding"] == "same" or _sides(config, "kernel_size") == {1}
    plain = config.get("data_format") in {None, "channels_last"} and config.get("groups", 1) == 1
    if not same or not plain or _sides(config, "strides") != {1} or len(dilations) != 1:
        raise WeightsError(f"{path}: the convolution {config['name']} has strides, groups or no padding; {_EXPECTED}")
    if config["activation"] not in {"relu", "linear"}:
        raise WeightsError(f"{path}: {config['name']} has the activation {config['activation']!r:.80}; {_EXPECTED}")
    if not config.get("use_bias", True):
        raise WeightsError(f"{path}: the convolution {config['name']} has no bias; {_EXPECTED}")


def _convolution(config: Layer, kernel: Array, bias: Array) -> Convolution:
    (dilation,) = _sides(config, "dilation_rate")
    return Convolution(config["name"], kernel, bias, dilation, config["activation"] == "relu")


def _is_relu(kind: str, config: Layer) -> bool:
    if kind == "ReLU":
        return config.get("max_value") is None and not config.get("negative_slope") and not config.get("threshold")
    return kind == "Activation" and config.get("activation") == "relu"


def _sides(config: Layer, *names: str) -> set[int]:
    return {int(side) for name in names for side in np.atleast_1d(config[name])}


class _Arrays:
    """Kernels and biases of a `.keras` file, whose groups have the layers' names, or the kinds' in order."""

    def __init__(self, file: h5py.File) -> None:
        self._groups: dict[str, h5py.Group] = {}
        self._numbered: list[h5py.Group] = []
        file.visititems(self._visit)
        self._numbered.sort(key=lambda group: _number(group.name))

    def of(self, name: str) -> tuple[Array, Array]:
        """Kernel and bias of the next convolution, which has this name."""
        return _pair(self._groups[name] if name in self._groups else self._numbered.pop(0))

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        return (_pair(group) for group in self._numbered)

    def _visit(self, name: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and name.endswith("/vars") and "0" in item and item["0"].ndim == 4:
            self._groups[str(item.attrs.get("name", ""))] = item
            self._numbered.append(item)


class _LegacyArrays(_Arrays):
    """Those of an `.h5` file."""

    def __init__(self, file: h5py.Group) -> None:
        self._file = file

    def of(self, name: str) -> tuple[Array, Array]:
        """Kernel and bias of a convolution."""
        found: list[h5py.Dataset] = []
        group = self._file[name] if name in self._file else self._nested(name)
        group.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
        kernel, bias = sorted(found, key=lambda dataset: -dataset.ndim)
        return np.asarray(kernel, np.float32), np.asarray(bias, np.float32)

    def _nested(self, name: str) -> h5py.Group:
        """A layer of a model inside the model, whose arrays are in the latter's group."""
        found: list[h5py.Group] = []

        def visit(path: str, item: Any) -> None:
            if isinstance(item, h5py.Group) and path.rpartition("/")[2] == name:
                found.append(item)

        self._file.visititems(visit)
        return found[0]


def _pair(group: h5py.Group) -> tuple[Array, Array]:
    return np.asarray(group["0"], np.float32), np.asarray(group["1"], np.float32)


def _number(name: str) -> tuple[tuple[str, int], ...]:
    """Sorts conv2d_2 before conv2d_10."""
    parts = re.findall(r"(\D+)(\d*)", name)
    return tuple((text, int(number or 0)) for text, number in parts)
