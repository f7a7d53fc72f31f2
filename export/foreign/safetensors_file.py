"""Tensors of a safetensors file: a length, a JSON head with places, and the numbers."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.errors import WeightsError
from export.foreign.zip_files import MOST_BYTES

SUFFIX = ".safetensors"
_LENGTH = struct.Struct("<Q")
_MOST_HEAD_BYTES = 16 << 20
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}

Array = npt.NDArray[Any]


def read_safetensors(path: Path) -> dict[str, Array]:
    """The tensors by name, floats of 32 bits or the dtype of the file.

    Raises:
        WeightsError: If it is damaged, too large, or has a dtype of another kind.
    """
    if path.stat().st_size > MOST_BYTES:
        raise WeightsError(f"{path} has over {MOST_BYTES / 1e9:.1f} GB, which no network here has")
    try:
        content = path.read_bytes()
        (length,) = _LENGTH.unpack_from(content)
        if length > _MOST_HEAD_BYTES:
            raise ValueError(f"a head of {length:,} bytes")
        start = _LENGTH.size + length
        head = json.loads(content[_LENGTH.size : start])
        numbers = memoryview(content)[start:]
        entries = {name: entry for name, entry in head.items() if name != "__metadata__"}
        if sum(end - first for first, end in (entry["data_offsets"] for entry in entries.values())) > len(numbers):
            raise ValueError("tensors at the same place")
        return {name: _tensor(numbers, entry) for name, entry in entries.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, struct.error) as err:
        raise WeightsError(f"{path} is damaged or no safetensors file ({err!r:.200}); fetch it again") from err


def _tensor(numbers: memoryview, entry: Any) -> Array:
    first, end = entry["data_offsets"]
    if not 0 <= first <= end <= len(numbers):
        raise ValueError(f"a tensor at {first} to {end} of {len(numbers)} bytes")
    found = np.frombuffer(numbers[first:end], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    if entry["dtype"] == "BF16":  # the upper half of a float
        return (found.astype(np.uint32) << 16).view(np.float32)
    return found
