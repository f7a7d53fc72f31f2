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
        WeightsError: If the file is missing, damaged or of another kind.
    """
    arrays = _read(path)
    tensors = {name: array.astype(np.float32) for name, array in arrays.items() if not _is_beside(name)}
    for name in tensors:
        if name + SCALE in arrays:
            tensors[name] *= arrays[name + SCALE].reshape(-1, *[1] * (tensors[name].ndim - 1))
    return tensors


def read_tensor_record(path: Path) -> Any:
    """The record in a file of weights; None if it has none.

    Raises:
        WeightsError: As `read_tensors`.
    """
    found = _read(path).get(RECORD)
    return None if found is None else json.loads(found.tobytes())


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        # A damaged archive makes np.load leave a file open that it opened itself.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as err:
        raise WeightsError(
            f"{path} is missing, damaged or no .npz file of weights ({err}); copy it again, and join its parts in order"
        ) from err
    wrong = [name for name, array in arrays.items() if array.dtype.kind not in "fiu"]
    if wrong or not arrays:
        found = f"{wrong[0]} holds no numbers" if wrong else "it holds no arrays"
        raise WeightsError(f"{path} is no file of weights: {found}; give an .npz file with one array per tensor")
    return arrays


def _is_beside(name: str) -> bool:
    return name == RECORD or name.endswith(SCALE)


def _in_eight_bits(kernel: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Kernel [out, …] -> whole numbers of the same shape, and what one of them stands for in each filter [out]."""
    largest = np.abs(kernel.reshape(len(kernel), -1)).max(axis=1)
    scale = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
    return np.round(kernel / scale.reshape(-1, *[1] * (kernel.ndim - 1))).astype(np.int8), scale
