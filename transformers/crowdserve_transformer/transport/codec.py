"""v2 messages to tensors and back, for REST with its binary extension and for gRPC.

The SDK's own REST decoding turns every binary tensor into a Python list of numbers, which takes a second for one photo,
and fails on binary BYTES. Here a binary tensor becomes a view of the request body. After decoding, an input's `data` is

    UINT8   a flat uint8 array
    BYTES   a list of bytes; JSON carries them as base64
    others  None: no input of this service has these types
"""

import base64
import gc
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.infer_type import InferOutput, RequestedOutput

from crowdserve.errors import InvalidRequest, quoted
from crowdserve.protocol.binary import element_spans, join_bytes
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.protocol.tensors import OUTPUTS
from crowdserve_transformer.counting.parameters import KNOWN, check_parameters_of, flag_of
from crowdserve_transformer.counting.request import check_batch
from crowdserve_transformer.transport.json_data import files_of, json_type, pixels_of
from crowdserve_transformer.transport.json_limits import check_json

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Windows begins texts with it."""

EXAMPLE = '{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["<base64 of the file>"]}]}'

_MAX_INPUTS = 16
_MAX_SHAPE_LENGTH = 8
_MAX_LENGTH_DIGITS = 12
Tensor = npt.NDArray[Any]


def decode_rest(
    body: bytes | bytearray, headers: Mapping[str, str], model_name: str, max_files: int = 16
) -> InferRequest:
    """Decode a v2 REST body.

    Args:
        body: JSON, followed by binary tensors if the header Inference-Header-Content-Length says where JSON ends.
        headers: HTTP headers with lower-case names.
        model_name: Name of the model in the URL.
        max_files: Most elements of a BYTES tensor; if there are more, none is decoded.

    Raises:
        InvalidRequest: If the body is not a v2 request.
        ImageTooLarge: If it is over a limit.
    """
    json_length = _json_length(headers, len(body))
    message = _object(parse_json(body if json_length == len(body) else memoryview(body)[:json_length]), "the body")
    binary = memoryview(body if json_length < len(body) else b"")[json_length:]
    del body  # a photo in base64 need not be kept three times
    if "instances" in message and "inputs" not in message:
        raise InvalidRequest(
            f"the body has 'instances', as in v1: send it to /v1/models/{quoted(model_name)[1:-1]}:predict"
        )
    described_inputs = _objects(message, "inputs")
    if misplaced := next((name for name in KNOWN if message.get(name) is not None), None):
        raise InvalidRequest(f"{misplaced!r} stands beside 'inputs'; send it in 'parameters' there")
    if len(described_inputs) > _MAX_INPUTS:
        raise InvalidRequest(f"the request has {len(described_inputs)} inputs; expected exactly one")
    inputs = []
    for described in described_inputs:
        tensor, binary = _rest_input(described, binary, max_files)
        inputs.append(tensor)
    if len(binary):
        raise InvalidRequest(f"{len(binary)} bytes follow the last binary tensor; check each binary_data_size")
    return InferRequest(
        model_name=model_name,
        infer_inputs=inputs,
        request_id=_optional_text(message, "id"),
        parameters=_object(message.get("parameters") or {}, "parameters"),
        request_outputs=[
            _requested(output) for output in (_objects(message, "outputs") if message.get("outputs") else [])
        ],
    )


def parse_json(body: bytes | bytearray | memoryview) -> Any:
    """Parse JSON within `json_limits`.

    Raises:
        ImageTooLarge: If it is over a limit.
        InvalidRequest: If it is not JSON.
    """
    if not len(body):
        raise InvalidRequest("the body is empty; send a photo, or JSON with one")
    if body[:3] == _BYTE_ORDER_MARK:
        body = memoryview(body)[3:]
    check_json(body)
    collecting = gc.isenabled()
    gc.disable()  # a million small lists would be searched for cycles again and again, at four times the cost
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as err:
        raise InvalidRequest(
            f"the body is not JSON ({err}); a body with binary tensors needs the header "
            "Inference-Header-Content-Length, and one that is a photo a Content-Type such as image/jpeg"
        ) from None  # the parser's error holds a copy of the body
    finally:
        if collecting:
            gc.enable()


def encode_rest(response: InferResponse, request: InferRequest) -> tuple[bytes, dict[str, str]]:
    """Encode a v2 REST response: JSON, and binary tensors for the outputs requested in that form.

    Returns:
        The body and its headers.
    """
    in_binary = {o.name: o.binary_data for o in request.request_outputs or []}
    by_default = flag_of(request.parameters or {}, "binary_data_output")
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


def from_raw(datatype: str, raw: memoryview | bytes, max_files: int = 16) -> list[bytes] | npt.NDArray[np.uint8] | None:
    """The data of a binary tensor of this service; None for a datatype that it does not take.

    Raises:
        InvalidRequest: If the bytes are not such a tensor.
        ImageTooLarge: If it has more than `max_files` elements, of which none is copied then.
    """
    try:
        if datatype == "BYTES":
            spans = list(islice(element_spans(raw), max_files + 1))
            if len(spans) > max_files:
                check_batch(len(spans), max_files)
            return [bytes(raw[start:end]) for start, end in spans]
        return np.frombuffer(raw, dtype=np.uint8) if datatype == "UINT8" else None
    except ValueError as err:
        raise InvalidRequest(str(err)) from err


def from_list(datatype: str, data: list[Any], max_files: int) -> list[bytes] | npt.NDArray[np.uint8] | None:
    """The data of a tensor inside JSON; None for a datatype that this service does not take."""
    if datatype == "BYTES":
        return files_of(data, max_files)
    return pixels_of(data) if datatype == "UINT8" else None


def _json_length(headers: Mapping[str, str], body_length: int) -> int:
    text = headers.get(JSON_LENGTH_HEADER)
    if text is None:
        return body_length
    digits = text.isascii() and text.isdigit() and len(text) <= _MAX_LENGTH_DIGITS
    if not digits or int(text) > body_length:
        raise InvalidRequest(
            f"Inference-Header-Content-Length is {quoted(text)}; expected the length of the JSON part, at most "
            f"{body_length}"
        )
    return int(text)


def _rest_input(described: Mapping[str, Any], binary: memoryview, max_files: int) -> tuple[InferInput, memoryview]:
    name, datatype = _text(described, "name"), _text(described, "datatype").upper()
    parameters = _object(described.get("parameters") or {}, f"the parameters of input {quoted(name)}")
    data: Any = described.get("data")
    if "binary_data_size" in parameters:
        if data is not None:
            raise InvalidRequest(f"input {quoted(name)} has both data and binary_data_size; send one of them")
        size = parameters["binary_data_size"]
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(binary):
            raise InvalidRequest(
                f"input {quoted(name)} has binary_data_size {quoted(size)}, but {len(binary)} bytes are left after the "
                "JSON part"
            )
        data, binary = from_raw(datatype, binary[:size], max_files), binary[size:]
    elif isinstance(data, list) or (isinstance(data, str) and datatype == "BYTES"):
        data = from_list(datatype, data if isinstance(data, list) else [data], max_files)
    else:
        check_parameters_of(f"input {quoted(name)}", parameters)
        raise InvalidRequest(
            f"input {quoted(name)} has no data; expected a list, or binary_data_size in its parameters"
        )
    return InferInput(name, _shape(described, name), datatype, data, parameters), binary


def _requested(described: Mapping[str, Any]) -> RequestedOutput:
    parameters = _object(described.get("parameters") or {}, "output parameters")
    if parameters.get("binary_data") is not None:
        parameters["binary_data"] = flag_of(parameters, "binary_data")
    return RequestedOutput(_text(described, "name"), parameters)


def _to_json(output: InferOutput) -> Any:
    values: Tensor = output.data
    if output.datatype != "BYTES":
        return np.ascontiguousarray(values).reshape(-1)
    if OUTPUTS[output.name].binary:
        return [base64.b64encode(element).decode() for element in values.ravel()]
    return [element.decode() for element in values.ravel()]


def _shape(described: Mapping[str, Any], name: str) -> list[int]:
    shape = described.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_SHAPE_LENGTH
        or not all(type(side) is int and side >= 0 for side in shape[shape[:1] == [-1] :])
    ):
        raise InvalidRequest(
            f"input {quoted(name)} has shape {quoted(shape)}; expected a list of whole numbers, such as [1]"
        )
    return shape


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{what} must be a JSON object, not {json_type(value)}; expected for instance {EXAMPLE}")
    return value


def _objects(message: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    values = message.get(key)
    if not isinstance(values, list):
        raise InvalidRequest(
            f"{key!r} is {'missing' if values is None else 'not a list'}; expected a list of objects, as in {EXAMPLE}"
        )
    return [_object(value, f"an element of {key!r}") for value in values]


def _text(described: Mapping[str, Any], key: str) -> str:
    value = described.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{key!r} is {quoted(value)}; expected text")
    return value


def _optional_text(message: Mapping[str, Any], key: str) -> str | None:
    return None if message.get(key) in (None, "") else _text(message, key)
