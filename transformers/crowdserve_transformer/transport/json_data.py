"""Tensor data inside JSON: files as base64, pixels as lists of numbers."""

import base64
import binascii
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.errors import InvalidImage, InvalidRequest


def files_of(data: list[Any]) -> list[bytes]:
    """The files of a BYTES tensor [N] or [N, 1].

    Raises:
        InvalidImage: If an element is not base64.
    """
    files = []
    for element in chain.from_iterable(row if isinstance(row, list) else [row] for row in data):
        if not isinstance(element, str):
            raise InvalidRequest(f"a BYTES element is a {type(element).__name__}; expected base64 text")
        files.append(decode_base64(element))
    return files


def decode_base64(text: str) -> bytes:
    """Decode standard base64; line breaks are tolerated.

    Raises:
        InvalidImage: If the text is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as err:
        raise InvalidImage(
            f"the image starts with {text[:24]!r}, which is not base64 ({err}); inside JSON send the file's bytes in "
            "standard base64 with padding and no 'data:' prefix"
        ) from err


def pixels_of(data: list[Any]) -> npt.NDArray[np.uint8]:
    """The values of a flat or nested UINT8 tensor, as a flat array.

    Types are checked first: numpy would silently convert text and floats.

    Raises:
        InvalidRequest: If the values are not whole numbers from 0 to 255, evenly nested.
    """
    while set(map(type, data)) == {list}:
        data = list(chain.from_iterable(data))
    if not set(map(type, data)) <= {int}:
        raise InvalidRequest("the data of UINT8 input holds something other than evenly nested whole numbers")
    try:
        return np.frombuffer(bytes(data), dtype=np.uint8)
    except ValueError as err:
        raise InvalidRequest("the data of UINT8 input holds a value outside 0 to 255") from err
