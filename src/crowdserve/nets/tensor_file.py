"""Weights of a PyTorch network in one .npz file, read and written with numpy alone.

Arrays have the names of the network's state dict. A kernel of 8 bits has beside it `<name>/scale`, one factor per
filter. `meta.json` is the record of the network, where there is one.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.errors import WeightsError

Tensors = dict[str, npt.NDArray[np.float32]]

RECORD = "meta.json"
SCALE = "/scale"
BITS = (16, 8)
_LARGEST = 127


def pack_tensors(tensors: Mapping[str, npt.NDArray[np.float32]], *, bits: int = 16, record: Any = None) -> bytes:
    """The content of a file of weights: kernels of 16 bits, as an export stores them, or of 8; biases of 32.

    Args:
        tensors: State dict.
        bits: Bits of a kernel's value, one of `BITS`.
        record: Content of the network's meta.json.

    Raises:
        WeightsError: If `bits` is another number.
    """
    if bits not in BITS:
        raise WeightsError(f"kernels of {bits} bits; expected one of {', '.join(map(str, BITS))}")
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2:
            arrays[name] = tensor.astype(np.float32)
        elif bits == 16:
            arrays[name] = tensor.astype(np.float16)
        else:
            arrays[name], arrays[name + SCALE] = _in_eight_bits(tensor)
    if record is not None:
        arrays[RECORD] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def read_tensors(path: Path) -> Tensors:
    """The state dict of a file of weights, in float32.

    Raises:
        WeightsError: If the file is missing, damaged or of another kind, or has a tensor in integers without its
            scales, or scales that fit nothing.
    """
    arrays, tensors = _read(path), Tensors()
    arrays.pop(RECORD, None)
    for name, array in arrays.items():
        if name.endswith(SCALE):
            if name.removesuffix(SCALE) not in arrays:
                raise WeightsError(f"{path} has {name} without {name.removesuffix(SCALE)}; give a file with both")
            continue
        tensors[name] = array.astype(np.float32)
        scale = arrays.get(name + SCALE)
        if scale is not None:
            if not array.ndim or scale.size not in (1, len(array)):
                raise WeightsError(
                    f"{path}: {name + SCALE} has {scale.size} values for {name} {list(array.shape)}; "
                    "it needs one for each of the first axis"
                )
            tensors[name] *= scale.astype(np.float32).reshape(-1, *[1] * (array.ndim - 1))
        elif array.dtype.kind != "f" and array.ndim > 1:
            raise WeightsError(
                f"{path}: {name} is in {array.dtype} without {name + SCALE}; give the scales too, or weights in floats"
            )
    return tensors


def read_tensor_record(path: Path) -> Any:
    """The record in a file of weights; None if it has none.

    Raises:
        WeightsError: If the file is missing, damaged or of another kind.
    """
    found = _read(path).get(RECORD)
    try:
        return None if found is None else json.loads(found.tobytes())
    except ValueError as err:
        raise _no_state_dict(path, f"its {RECORD} is damaged: {err}") from err


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        # A damaged archive makes numpy leave a file open that it opened itself.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, MemoryError, zipfile.BadZipFile) as err:
        raise _no_state_dict(path, str(err)) from err  # a TypeError where the file holds a single array
    strange = sorted(name for name, array in arrays.items() if array.dtype.kind not in "fiu")
    if strange or not arrays:
        raise _no_state_dict(path, f"{strange[0]} is no array of numbers" if strange else "it holds no arrays")
    return arrays


def _no_state_dict(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{path} is not a file of a state dict ({reason}); give an .npz file, one array a name; if it came in parts, "
        "join them in order"
    )


def _in_eight_bits(kernel: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Kernel [out, …] -> whole numbers of the same shape, and what one of them stands for in each filter [out]."""
    largest = np.abs(kernel.reshape(len(kernel), -1)).max(axis=1)
    scale = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
    return np.round(kernel / scale.reshape(-1, *[1] * (kernel.ndim - 1))).astype(np.int8), scale
