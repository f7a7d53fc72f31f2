"""Tensors of a TorchScript program: its pickle is read with a list of what it may name, its code is not read at all.

TorchServe's archives often hold such a program. PyTorch reads one only to run it.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crowdserve.errors import WeightsError
from export.foreign.zip_files import MOST_BYTES, damage_told, member_names

_DTYPES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "BoolStorage": "?",
}  # fmt: skip
_MOST_PICKLE_BYTES = 16 << 20
_MOST_MODULES, _MOST_LEVELS = 10_000, 64
"""A module counts each time that it has another name: a program may share one, and that one another."""

Array = npt.NDArray[Any]


class _Module:
    """What any class of the program is read as: its attributes."""

    def __init__(self, *_: Any) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


def is_script(path: Path) -> bool:
    """Whether a file is a TorchScript program, scripted or traced."""
    names = member_names(path)
    return any(name.endswith("/data.pkl") for name in names) and any("/code/" in name for name in names)


def read_script(path: Path) -> dict[str, Array]:
    """The parameters and buffers of a program, as its state dict would name them, in their own dtypes.

    Raises:
        WeightsError: If it is damaged, or its pickle names anything but tensors and modules.
    """
    try:
        with damage_told(path, "TorchScript program"), zipfile.ZipFile(path) as archive:
            (top,) = (name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl"))
            with archive.open(top) as file:
                module = _Unpickler(file.read(_MOST_PICKLE_BYTES), archive, top.partition("/")[0]).load()
            return dict(_tensors(module))
    except pickle.UnpicklingError as err:
        raise WeightsError(f"{path} is a TorchScript program that is more than tensors and modules ({err})") from err


class _Dict(dict[Any, Any]):
    """A dictionary with names for keys: the hash of tuples that share others takes time without end."""

    def __init__(self) -> None:
        super().__init__()

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, (str, int)):
            raise pickle.UnpicklingError(f"a dictionary has a {type(key).__name__} for a key")
        super().__setitem__(key, value)


class _Unpickler(pickle._Unpickler):
    """Python's own, whose dictionaries can be ours.

    What hashes its elements is refused, and so is what takes memory for a length before it reads as much.
    """

    dispatch: ClassVar[Any] = {
        code: method
        for code, method in pickle._Unpickler.dispatch.items()
        if bytes((code,)) not in {pickle.DICT, pickle.ADDITEMS, pickle.FROZENSET, pickle.BYTEARRAY8}
    }

    def load_empty_dictionary(self: Any) -> None:
        self.append(_Dict())

    dispatch[pickle.EMPTY_DICT[0]] = load_empty_dictionary

    def __init__(self, content: bytes, archive: zipfile.ZipFile, top: str) -> None:
        super().__init__(io.BytesIO(content))
        self._archive, self._top = archive, top
        self._storages: dict[int, bytes] = {}
        self._tensor_bytes = 0

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if module == "torch" and name in _DTYPES:
            return np.dtype(_DTYPES[name])
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("collections", "OrderedDict"):
            return _Dict
        if module == "torch.jit._pickle" and name in {"build_intlist", "build_doublelist", "build_boollist"}:
            return _as_it_is
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Array:
        _, dtype, name, _, _ = pid
        key = int(name)
        if key not in self._storages:
            self._storages[key] = self._archive.read(f"{self._top}/data/{key}")
        return np.frombuffer(self._storages[key], dtype)

    def _tensor(self, storage: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> Array:
        """A tensor of a storage; its places are computed, so that none outside of the storage is read."""
        if not all(type(number) is int and number >= 0 for number in (offset, *shape, *strides)):
            raise ValueError("a tensor's shape has other things than whole numbers")
        if math.prod(shape) > storage.size:
            raise ValueError(f"a tensor {shape} of a storage of {storage.size}")
        self._tensor_bytes += math.prod(shape) * storage.itemsize
        if self._tensor_bytes > MOST_BYTES:  # many may have one storage
            raise ValueError(f"its tensors have over {MOST_BYTES / 1e9:.1f} GB")
        places = np.asarray(offset)
        for size, stride in zip(shape, strides, strict=True):
            places = places[..., np.newaxis] + np.arange(size) * stride
        return np.ascontiguousarray(storage[places])


def _as_it_is(values: Any) -> Any:
    """A list of numbers, which no tensor is; a copy of each would be memory without end."""
    return values


def _tensors(top: Any) -> Iterator[tuple[str, Array]]:
    waiting, modules = [("", top)], 0
    while waiting:
        prefix, module = waiting.pop()
        modules += 1
        if modules > _MOST_MODULES or prefix.count(".") > _MOST_LEVELS:
            raise ValueError(f"over {_MOST_MODULES:,} modules, or {_MOST_LEVELS} in each other")
        for name, value in module.attributes.items():
            if isinstance(value, np.ndarray):
                yield f"{prefix}{name}", value
            elif isinstance(value, _Module):
                waiting.append((f"{prefix}{name}.", value))
