"""Request and response bodies in their media types, with an example of each request."""

import base64
import io
from typing import Any

from PIL import Image

from crowdserve.cards import COUNTERS
from crowdserve.protocol.tensors import IMAGE
from crowdserve_transformer.transport.cloud_events import STRUCTURED
from crowdserve_transformer.transport.forms import FORM
from crowdserve_transformer.transport.inflation import CODINGS
from crowdserve_transformer.transport.openapi.schemas import Schema, ref
from crowdserve_transformer.transport.openapi.statuses import ANSWER_HEADERS

JSON, BINARY, TEXT, PICTURE = "application/json", "application/octet-stream", "text/plain", "image/*"
HTML = "text/html"
_BINARY_FORM = (
    "A body of the binary tensor extension: JSON as in `application/json`, as long as the header "
    "`Inference-Header-Content-Length` says, then each binary tensor's bytes, little-endian, in the order of the JSON. "
    "Each element of a BYTES tensor is preceded by its length in 4 bytes. With a length of 0, or without the "
    "header, the body is one photo, as in `image/*`."
)
_PICTURE: dict[str, Any] = {
    "schema": {"type": "string", "format": "binary", "description": "One photo, with the defaults of every parameter."}
}
_FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "description": "Each file of the form is a photo, whatever its name; each other field is a parameter.",
        "properties": {IMAGE: {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}},
        "required": [IMAGE],
        "additionalProperties": {"type": "string"},
    }
}


def infer_request() -> dict[str, Any]:
    """The body of v2 inference: JSON, JSON followed by binary tensors, a photo, a form, or an event."""
    image = {"name": IMAGE, "datatype": "BYTES", "shape": [1], "data": [_example_file()]}
    example = {"inputs": [image], "parameters": {"route": "auto", "counter": COUNTERS[0]}}
    binary = {"schema": {"type": "string", "format": "binary", "description": _BINARY_FORM}}
    event = {"schema": ref("InferRequestEvent")}
    forms = {JSON: {"schema": ref("InferRequest"), "example": example}, BINARY: binary}
    return _body({**forms, PICTURE: _PICTURE, FORM: _FORM, STRUCTURED: event})


def predict_request() -> dict[str, Any]:
    """The body of v1 inference."""
    example = {"instances": [{"image_bytes": {"b64": _example_file()}}], "parameters": {"counter": COUNTERS[0]}}
    event = {"schema": ref("PredictRequestEvent")}
    return _body(
        {JSON: {"schema": ref("PredictRequest"), "example": example}, PICTURE: _PICTURE, FORM: _FORM, STRUCTURED: event}
    )


def index_request() -> dict[str, Any]:
    """The body of the index, which may be left out."""
    schema = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    return {"required": False, "content": {JSON: {"schema": schema, "example": {"ready": True}}}}


def infer_response() -> dict[str, Any]:
    """The answer of v2 inference: binary if an output was asked for in that form, an event if the request was one."""
    binary = {"schema": {"type": "string", "format": "binary", "description": _BINARY_FORM}}
    response = _of_inference(answer("The outputs, in the order asked for.", ref("InferResponse")), "InferResponse")
    length = {
        "description": "Length of the JSON part, if binary tensors follow it.",
        "schema": {"type": "integer", "minimum": 1},
    }
    headers = {**response["headers"], "Inference-Header-Content-Length": length}
    return {**response, "headers": headers, "content": {**response["content"], BINARY: binary}}


def predict_response() -> dict[str, Any]:
    """The answer of v1 inference."""
    response = answer("One prediction for each instance, in their order.", ref("PredictResponse"))
    return _of_inference(response, "PredictResponse")


def answer(description: str, schema: Schema, media_type: str = JSON) -> dict[str, Any]:
    """The answer of an endpoint."""
    return {"description": description, "headers": dict(ANSWER_HEADERS), "content": {media_type: {"schema": schema}}}


def _of_inference(response: dict[str, Any], schema: str) -> dict[str, Any]:
    event = {STRUCTURED: {"schema": ref(f"{schema}Event")}}
    coding = {"description": "How the body is compressed, if at all.", "schema": {"enum": [*CODINGS]}}
    vary = {"description": "What the form of the answer depends on.", "schema": {"const": "accept-encoding"}}
    headers = {**response["headers"], "Content-Encoding": coding, "Vary": vary}
    return {**response, "headers": headers, "content": {**response["content"], **event}}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content}


def _example_file() -> str:
    """A gray PNG of a few bytes."""
    file = io.BytesIO()
    Image.new("L", (16, 16), 200).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()
