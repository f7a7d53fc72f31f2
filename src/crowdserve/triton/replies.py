"""Replies of Triton's v2 REST protocol to arrays, texts and versions; one that breaks the protocol is refused."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.triton.connections import Reply

DTYPES: Mapping[str, npt.DTypeLike] = {"FP32": np.float32, "UINT8": np.uint8}
"""Datatypes of the models' tensors."""

_EXECUTION_KEYS = ("runtime", "precision")
_MAX_AXES = 8
_MAX_VERSION_CHARACTERS = 64
_MAX_SHOWN_CHARACTERS = 200
_DIGITS = 18
"""Most digits of a length or a version that is read."""


class ReplyUnreadable(Exception):
    """A reply is not what the protocol says."""


def read_tensors(reply: Reply, outputs: Sequence[str]) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    """Read a reply to an inference whose outputs were asked for in binary form.

    Args:
        reply: The reply; its body is kept alive by the arrays.
        outputs: The names that were asked for.

    Returns:
        The model's version, and the outputs by name, as read-only views.

    Raises:
        ReplyUnreadable: If the reply is none to this request.
    """
    head, binary = _parts(reply)
    described = _list(head, "outputs")
    version = head.get("model_version", "")
    if not isinstance(version, str) or len(version) > _MAX_VERSION_CHARACTERS or not _is_plain(version):
        raise ReplyUnreadable(f"model_version is {shown(version)}")
    tensors: dict[str, npt.NDArray[Any]] = {}
    for output in described:
        name, tensor, binary = _tensor(output, binary)
        if name in tensors or name not in outputs:
            raise ReplyUnreadable(f"output {shown(name)} was not asked for, or comes twice")
        tensors[name] = tensor
    if missing := [name for name in outputs if name not in tensors]:
        raise ReplyUnreadable(f"{', '.join(missing)} did not come")
    if len(binary):
        raise ReplyUnreadable(f"{len(binary):,} bytes belong to no output")
    return version, tensors


def read_versions(reply: Reply) -> list[int]:
    """The loaded versions in a model's metadata.

    Raises:
        ReplyUnreadable: If the reply is no metadata.
    """
    versions = _list(_json(reply.body), "versions")
    if not all(isinstance(each, str) and _is_number(each) for each in versions):
        raise ReplyUnreadable(f"versions are {shown(versions)}")
    return [int(each) for each in versions]


def read_execution(reply: Reply) -> str:
    """Runtime and precision in a model's configuration, such as ``openvino-bf16``; empty where it names none.

    Raises:
        ReplyUnreadable: If the reply is no configuration.
    """
    parameters = _json(reply.body).get("parameters") or {}
    try:
        words = [parameters[key]["string_value"] for key in _EXECUTION_KEYS if key in parameters]
    except (LookupError, TypeError):
        raise ReplyUnreadable(f"its parameters are {shown(str(parameters))}") from None
    if not all(isinstance(word, str) and word.isascii() and word.isalnum() for word in words):
        raise ReplyUnreadable(f"it runs by {shown(words)}")
    return "-".join(words)


def error_text(reply: Reply) -> str:
    """What a reply says about an error, shortened, for the log."""
    try:
        return shown(_json(reply.body)["error"])
    except (ReplyUnreadable, LookupError):
        return shown(reply.body)


def shown(value: object) -> str:
    """A value of a reply, shortened and in printable characters."""
    text = ascii(value[: 2 * _MAX_SHOWN_CHARACTERS] if isinstance(value, str | bytes | list) else value)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"


def _parts(reply: Reply) -> tuple[dict[str, Any], memoryview]:
    """The JSON head and the bytes behind it."""
    encoding, length = reply.headers.get("Content-Encoding", "identity"), reply.headers.get(JSON_LENGTH_HEADER)
    if encoding.lower() != "identity":
        raise ReplyUnreadable(f"it is compressed ({shown(encoding)}), which was not asked for")
    if length is None or not _is_number(length) or int(length) > len(reply.body):
        raise ReplyUnreadable(f"its {JSON_LENGTH_HEADER} is {shown(length)} in {len(reply.body):,} bytes")
    body = memoryview(reply.body)
    return _json(bytes(body[: int(length)])), body[int(length) :]


def _tensor(output: Any, binary: memoryview) -> tuple[str, npt.NDArray[Any], memoryview]:
    """Name and content of an output, and the bytes behind it."""
    try:
        name, datatype, shape = output["name"], output["datatype"], output["shape"]
        size = output["parameters"]["binary_data_size"]
    except (LookupError, TypeError):
        raise ReplyUnreadable(f"an output is described as {shown(output)}") from None
    if not isinstance(name, str):
        raise ReplyUnreadable(f"an output is called {shown(name)}")
    dtype = DTYPES.get(datatype) if isinstance(datatype, str) else None
    if dtype is None:
        raise ReplyUnreadable(f"{shown(name)} has datatype {shown(datatype)}")
    if not isinstance(shape, list) or len(shape) > _MAX_AXES or not all(map(_is_length, shape)):
        raise ReplyUnreadable(f"{shown(name)} has shape {shown(shape)}")
    expected = math.prod(shape) * np.dtype(dtype).itemsize
    if not _is_length(size) or size != expected or size > len(binary):
        raise ReplyUnreadable(f"{shown(name)} of shape {shown(shape)} has {shown(size)} bytes, {len(binary):,} came")
    return name, np.frombuffer(binary[:size], dtype).reshape(shape), binary[size:]


def _json(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ReplyUnreadable(f"it is no JSON: {shown(text)}") from None
    if not isinstance(found, dict):
        raise ReplyUnreadable(f"it is no JSON object: {shown(text)}")
    return found


def _list(message: Mapping[str, Any], name: str) -> list[Any]:
    found = message.get(name)
    if not isinstance(found, list):
        raise ReplyUnreadable(f"its {name} are {shown(found)}")
    return found


def _is_length(value: object) -> bool:
    return type(value) is int and 0 <= value < 10**_DIGITS  # a bool is an int as well


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
