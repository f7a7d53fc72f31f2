"""The binary tensor extension of v2 REST: JSON first, then the raw bytes of tensors, little-endian.

    | JSON, as long as the header Inference-Header-Content-Length says | tensor | tensor | …

A BYTES tensor is its elements one after the other, each preceded by its length in 4 bytes. gRPC's raw contents have the
same form.
Source: the Open Inference Protocol's extension for binary data, as Triton and KServe speak it.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

_DTYPES: Mapping[str, str] = {"FP32": "<f4", "INT64": "<i8", "UINT8": "u1", "BOOL": "?"}


def join_bytes(elements: Iterable[bytes]) -> bytes:
    """A BYTES tensor in binary form."""
    return b"".join(part for element in elements for part in (len(element).to_bytes(4, "little"), element))


def split_bytes(raw: memoryview | bytes) -> list[bytes]:
    """The elements of a binary BYTES tensor.

    Raises:
        ValueError: If a length points past the end.
    """
    return [bytes(raw[start:end]) for start, end in element_spans(raw)]


def element_spans(raw: memoryview | bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each element of a binary BYTES tensor, as far as the caller asks for them.

    Raises:
        ValueError: If a length points past the end.
    """
    offset = 0
    while offset < len(raw):
        start = offset + 4
        size = int.from_bytes(raw[offset:start], "little")
        offset = start + size
        if start > len(raw) or offset > len(raw):
            raise ValueError(
                "a binary BYTES tensor ends early; each element is a 4-byte little-endian length and then its bytes"
            )
        yield start, offset


def read_values(datatype: str, raw: memoryview | bytes) -> "npt.NDArray[np.generic]":
    """The values of a binary tensor of numbers, flat, without a copy.

    Raises:
        ValueError: If the service has no such datatype, or the length is not a multiple of its size.
    """
    if datatype not in _DTYPES:
        raise ValueError(f"datatype {datatype!r}; expected one of {', '.join(_DTYPES)}")
    return np.frombuffer(raw, dtype=_DTYPES[datatype])
