"""Reading of `.npz` files that anybody may have made: named arrays of plain numbers, and no more memory than they say.

Nothing is unpickled. What a file says of its arrays is checked before any memory is taken for them.
"""

import io
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_FILE_BYTES = 1 << 28
"""Largest file of a classifier, and largest sum of its arrays: five times a dense head of 1024 units."""

_MAX_ARRAYS = 64
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAGIC = b"\x93NUMPY\x01\x00"  # format 1.0, which numpy writes for all but records with long names
_HEADER = re.compile(
    r"\{'descr': '([<>|][fiuU][0-9]{1,3})', 'fortran_order': (True|False), 'shape': \(((?:[0-9]{1,12},? ?)+)\), \} *\n"
)
_MAX_TEXT_BYTES = 256  # of a class label

Arrays = dict[str, npt.NDArray[Any]]


def read_arrays(content: bytes, axes: Mapping[str, int]) -> Arrays:
    """The arrays of a file, all of them finite.

    Args:
        content: What `np.savez` or `np.savez_compressed` wrote.
        axes: Name of each array that must be there, and its number of axes; no other may be there.

    Raises:
        ValueError: If it is not such a file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            entries = file.infolist()
            _check_entries(entries, axes)
            return {entry.filename.removesuffix(".npy"): _read(file, entry, axes) for entry in entries}
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, TypeError, zlib.error) as err:
        raise ValueError(f"{type(err).__name__}: {err}") from err


def write_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The content of a compressed file; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _check_entries(entries: list[zipfile.ZipInfo], axes: Mapping[str, int]) -> None:
    if len(entries) > _MAX_ARRAYS:
        raise ValueError(f"it has {len(entries):,} arrays, expected at most {_MAX_ARRAYS}")
    found, expected = sorted(entry.filename for entry in entries), sorted(f"{name}.npy" for name in axes)
    if found != expected:
        raise ValueError(f"it has {found}, expected {expected}")
    if sum(entry.file_size for entry in entries) > MAX_FILE_BYTES:
        raise ValueError(f"its arrays have more than {MAX_FILE_BYTES:,} bytes")
    if any(entry.compress_type not in _METHODS for entry in entries):
        raise ValueError("it is compressed otherwise than with deflate")


def _read(file: zipfile.ZipFile, entry: zipfile.ZipInfo, axes: Mapping[str, int]) -> npt.NDArray[Any]:
    name = entry.filename.removesuffix(".npy")
    with file.open(entry) as stream:
        start = stream.read(len(_MAGIC) + 2)
        header_bytes = int.from_bytes(start[len(_MAGIC) :], "little")
        header = _HEADER.fullmatch(stream.read(header_bytes).decode("latin-1")) if start.startswith(_MAGIC) else None
        if header is None:
            raise ValueError(f"{name} is no array of plain numbers or short labels; nothing is unpickled")
        dtype, shape = np.dtype(header[1]), tuple(int(side) for side in header[3].replace(",", " ").split())
        size_bytes = math.prod(shape) * dtype.itemsize
        if dtype.kind == "U" and dtype.itemsize > _MAX_TEXT_BYTES:
            raise ValueError(f"{name} has labels of {dtype.itemsize} bytes, expected at most {_MAX_TEXT_BYTES}")
        if len(shape) != axes[name] or 0 in shape or len(start) + header_bytes + size_bytes != entry.file_size:
            raise ValueError(f"{name} has shape {list(shape)} in {entry.file_size:,} bytes, expected {axes[name]} axes")
        array = np.frombuffer(stream.read(), dtype).reshape(shape, order="F" if header[2] == "True" else "C")
    if dtype.kind != "U" and not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite")
    return array
