"""v2 messages to tensors and back, for REST with its binary extension and for gRPC.

The SDK's own REST decoding turns every binary tensor into a Python list of numbers, which takes a second for one photo,
and fails on binary BYTES. Here a binary tensor becomes a view of the request body. After decoding, an input's `data` is

    UINT8   a flat uint8 array
    BYTES   a list of bytes; JSON carries them as base64
    others  None: no input of this service has these types
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.infer_type import InferOutput, RequestedOutput

from crowdserve.errors import ImageTooLarge, InvalidRequest
from crowdserve.protocol.binary import join_bytes, split_bytes
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.protocol.tensors import OUTPUTS
from crowdserve_transformer.transport.json_data import files_of, pixels_of

MAX_JSON_VALUES = 4_000_000
"""Most values in a JSON body: parsing more would block other requests for too long."""

Tensor = npt.NDArray[Any]


def decode_rest(body: bytes, headers: Mapping[str, str], model_name: str) -> InferRequest:
    """Decode a v2 REST body.

    Args:
        body: JSON, followed by binary tensors if the header Inference-Header-Content-Length says where JSON ends.
        headers: HTTP headers with lower-case names.
        model_name: Name of the model in the URL.

    Raises:
        InvalidRequest: If the body is not a v2 request.
    """
    json_length = _json_length(headers, len(body))
    message = _object(parse_json(body if json_length == len(body) else memoryview(body)[:json_length]), "the body")
    binary = memoryview(body)[json_length:]
    inputs = []
    for described in _objects(message, "inputs"):
        tensor, binary = _rest_input(described, binary)
        inputs.append(tensor)
    if len(binary):
        raise InvalidRequest(f"{len(binary)} bytes follow the last binary tensor; check each binary_data_size")
    return InferRequest(
        model_name=model_name,
        infer_inputs=inputs,
        request_id=_optional_text(message, "id"),
        parameters=_object(message.get("parameters") or {}, "parameters"),
        request_outputs=[
            RequestedOutput(_text(output, "name"), _object(output.get("parameters") or {}, "output parameters"))
            for output in (_objects(message, "outputs") if message.get("outputs") else [])
        ],
    )


def parse_json(body: bytes | memoryview) -> Any:
    """Parse JSON of a bounded number of values.

    Raises:
        ImageTooLarge: If it holds more than `MAX_JSON_VALUES`.
        InvalidRequest: If it is not JSON.
    """
    if len(body) > MAX_JSON_VALUES and bytes(body).count(b",") > MAX_JSON_VALUES:
        raise ImageTooLarge(
            f"the JSON body holds over {MAX_JSON_VALUES:,} values; send an encoded file, or pixels with the binary "
            "extension"
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as err:
        raise InvalidRequest(
            f"the body is not JSON ({err}); a body with binary tensors needs the header Inference-Header-Content-Length"
        ) from err


def encode_rest(response: InferResponse, request: InferRequest) -> tuple[bytes, dict[str, str]]:
    """Encode a v2 REST response: JSON, and binary tensors for the outputs requested in that form.

    Returns:
        The body and its headers.
    """
    in_binary = {o.name: o.binary_data for o in request.request_outputs or []}
    by_default = bool((request.parameters or {}).get("binary_data_output", False))
    described, blobs = [], []
    for output in response.outputs:
        entry: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        chosen = in_binary.get(output.name)
        if by_default if chosen is None else chosen:
            blobs.append(to_raw(output))
            entry["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            entry["data"] = _to_json(output)
        described.append(entry)
    message = {"id": response.id, "model_name": response.model_name, "model_version": response.model_version}
    head = orjson.dumps({**message, "outputs": described}, option=orjson.OPT_SERIALIZE_NUMPY)
    if not blobs:
        return head, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", JSON_LENGTH_HEADER: str(len(head))}
    return b"".join([head, *blobs]), headers


def to_raw(output: InferOutput) -> bytes:
    """A tensor in the binary form of REST and gRPC: little-endian values; each BYTES element preceded by its length."""
    values: Tensor = output.data
    if output.datatype != "BYTES":
        return values.tobytes()
    return join_bytes(values.ravel())


def from_raw(datatype: str, raw: memoryview | bytes) -> list[bytes] | npt.NDArray[np.uint8] | None:
    """The data of a binary tensor of this service; None for a datatype that it does not take.

    Raises:
        InvalidRequest: If the bytes are not such a tensor.
    """
    try:
        if datatype == "BYTES":
            return split_bytes(raw)
        return np.frombuffer(raw, dtype=np.uint8) if datatype == "UINT8" else None
    except ValueError as err:
        raise InvalidRequest(str(err)) from err


def from_list(datatype: str, data: list[Any]) -> list[bytes] | npt.NDArray[np.uint8] | None:
    """The data of a tensor inside JSON; None for a datatype that this service does not take."""
    if datatype == "BYTES":
        return files_of(data)
    return pixels_of(data) if datatype == "UINT8" else None


def _json_length(headers: Mapping[str, str], body_length: int) -> int:
    text = headers.get(JSON_LENGTH_HEADER)
    if text is None:
        return body_length
    if not (text.isascii() and text.isdigit()) or int(text) > body_length:
        raise InvalidRequest(
            f"Inference-Header-Content-Length is {text!r}; expected the length of the JSON part, at most {body_length}"
        )
    return int(text)


def _rest_input(described: Mapping[str, Any], binary: memoryview) -> tuple[InferInput, memoryview]:
    name, datatype = _text(described, "name"), _text(described, "datatype").upper()
    parameters = _object(described.get("parameters") or {}, f"the parameters of input {name!r}")
    data: Any = described.get("data")
    if "binary_data_size" in parameters:
        if data is not None:
            raise InvalidRequest(f"input {name!r} has both data and binary_data_size; send one of them")
        size = parameters["binary_data_size"]
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(binary):
            raise InvalidRequest(
                f"input {name!r} has binary_data_size {size!r}, but {len(binary)} bytes are left after the JSON part"
            )
        data, binary = from_raw(datatype, binary[:size]), binary[size:]
    elif not isinstance(data, list):
        raise InvalidRequest(f"input {name!r} has no data; expected a list, or binary_data_size in its parameters")
    else:
        data = from_list(datatype, data)
    return InferInput(name=name, shape=_shape(described, name), datatype=datatype, data=data), binary


def _to_json(output: InferOutput) -> Any:
    values: Tensor = output.data
    if output.datatype != "BYTES":
        return np.ascontiguousarray(values).reshape(-1)
    if OUTPUTS[output.name].binary:
        return [base64.b64encode(element).decode() for element in values.ravel()]
    return [element.decode() for element in values.ravel()]


def _shape(described: Mapping[str, Any], name: str) -> list[int]:
    shape = described.get("shape")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise InvalidRequest(f"input {name!r} has shape {shape!r}; expected a list of whole numbers")
    return shape


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{what} must be a JSON object, not {type(value).__name__}")
    return value


def _objects(message: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    values = message.get(key)
    if not isinstance(values, list):
        raise InvalidRequest(f"{key!r} is {'missing' if values is None else 'not a list'}; expected a list of objects")
    return [_object(value, f"an element of {key!r}") for value in values]


def _text(described: Mapping[str, Any], key: str) -> str:
    value = described.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{key!r} is {value!r}; expected text")
    return value


def _optional_text(message: Mapping[str, Any], key: str) -> str | None:
    return None if message.get(key) in (None, "") else _text(message, key)
