"""Tensor data inside JSON: files as base64, pixels as lists of numbers."""

import base64
import re
import string
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.errors import InvalidImage, InvalidRequest, quoted
from crowdserve.protocol.tensors import IMAGE_SHAPES
from crowdserve_transformer.counting.request import check_batch

_PIECE_CHARACTERS = 4 * 2**20
_DATA_URL, _HEAD_CHARACTERS = "data:", 20
_TO_STANDARD = str.maketrans("-_", "+/", string.whitespace)
_URL = re.compile(r"\s*(https?|ftp|file|s3|gs)://", re.IGNORECASE)
_JSON_TYPES = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}
_AXES = len(IMAGE_SHAPES["UINT8"])


def files_of(data: list[Any], max_files: int) -> list[bytes]:
    """The files of a BYTES tensor [N] or [N, 1]; each text is taken out of `data` and freed as its file is decoded.

    Raises:
        ImageTooLarge: If there are more than `max_files`, of which none is decoded then.
        InvalidImage: If an element is not base64.
    """
    texts = list(chain.from_iterable(row if isinstance(row, list) else [row] for row in data))
    data.clear()
    if len(texts) > max_files and not isinstance(texts[0], (int, float)):  # the bytes of a file, as numbers
        check_batch(len(texts), max_files)
    files = []
    for _ in range(len(texts)):
        element = text_of(texts.pop(0))
        if not isinstance(element, str):
            raise InvalidRequest(
                f"a BYTES element is {json_type(element)}; expected a text: the bytes of a whole file in base64"
            )
        files.append(decode_base64(element))
    return files


def json_type(value: Any) -> str:
    """What JSON calls the type of a value, with its article."""
    return _JSON_TYPES.get(type(value), "something else")


def text_of(value: Any) -> Any:
    """The base64 in an object as other services take it: `{"b64": …}`, or a `data:` URL as OpenAI's `image_url`.

    Whatever else it is is returned as it is.
    """
    match value:
        case {"b64": str(text)}:
            return text
        case {"image_url": {"url": str(url)}} | {"url": str(url)} if (
            url.lstrip()[: len(_DATA_URL)].lower() == _DATA_URL
        ):
            return url
    return value


def decode_base64(text: str) -> bytes:
    """Decode base64 in any of the forms that clients send.

    Taken are the standard and the URL-safe alphabet, line breaks, missing padding and a `data:` URL.

    Raises:
        InvalidImage: If the text is not base64.
    """
    try:
        return _decoded(text)
    except ValueError:
        pass
    if _URL.match(text):
        raise InvalidImage(
            f"the image is the URL {quoted(text[:100])}: the service fetches nothing; send the file's bytes"
        )
    try:
        return _decoded(_standard(text))
    except ValueError as err:
        raise InvalidImage(
            f"the image starts with {quoted(text[:24])}, which is not base64 ({err}); inside JSON send the file's "
            "bytes in base64"
        ) from err


def _standard(text: str) -> str:
    """Base64 in its standard form.

    Raises:
        ValueError: If a `data:` URL has other content, or the length shows that characters are missing.
    """
    text = text.lstrip()
    if text[: len(_DATA_URL)].lower() == _DATA_URL:
        head, comma, text = text.partition(",")
        if not comma or not head[-_HEAD_CHARACTERS:].lower().endswith(";base64"):
            raise ValueError("a data: URL whose content is not ;base64,")
    text = text.translate(_TO_STANDARD).rstrip("=")
    if len(text) % 4 == 1:
        raise ValueError("characters are missing")
    return text + "=" * (-len(text) % 4)


def _decoded(text: str) -> bytes:
    """Decode in pieces, between which other threads have their turn; only the last one may be padded."""
    if len(text) <= _PIECE_CHARACTERS:
        return base64.b64decode(text, validate=True)
    decoded = bytearray()
    for start in range(0, len(text), _PIECE_CHARACTERS):
        piece = text[start : start + _PIECE_CHARACTERS]
        if piece.endswith("=") and start + _PIECE_CHARACTERS < len(text):
            raise ValueError("padding before the end")
        decoded += base64.b64decode(piece, validate=True)
    return bytes(decoded)


def pixels_of(data: list[Any]) -> npt.NDArray[np.uint8]:
    """The values of a flat or nested UINT8 tensor, as a flat array.

    Types are checked first: numpy would silently convert text and floats.

    Raises:
        InvalidRequest: If the values are not whole numbers from 0 to 255, evenly nested.
    """
    for _ in range(_AXES):
        if set(map(type, data)) != {list}:
            break
        data = list(chain.from_iterable(data))
    if not set(map(type, data)) <= {int}:
        raise InvalidRequest("the data of UINT8 input holds something other than evenly nested whole numbers")
    try:
        return np.frombuffer(bytes(data), dtype=np.uint8)
    except ValueError as err:
        raise InvalidRequest("the data of UINT8 input holds a value outside 0 to 255") from err
