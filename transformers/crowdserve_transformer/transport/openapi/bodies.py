"""Request and response bodies in their media types, with an example of each request."""

import base64
import io
from typing import Any

from PIL import Image

from crowdserve.cards import COUNTERS
from crowdserve.protocol.tensors import IMAGE
from crowdserve_transformer.transport.openapi.schemas import Schema, ref
from crowdserve_transformer.transport.openapi.statuses import ANSWER_HEADERS

JSON, BINARY, TEXT = "application/json", "application/octet-stream", "text/plain"
_BINARY_FORM = (
    "A body of the binary tensor extension: JSON as in `application/json`, as long as the header "
    "`Inference-Header-Content-Length` says, then each binary tensor's bytes, little-endian, in the order of the JSON. "
    "Each element of a BYTES tensor is preceded by its length in 4 bytes."
)


def infer_request() -> dict[str, Any]:
    """The body of v2 inference: JSON, or JSON followed by binary tensors."""
    image = {"name": IMAGE, "datatype": "BYTES", "shape": [1], "data": [_example_file()]}
    example = {"inputs": [image], "parameters": {"route": "auto", "counter": COUNTERS[0]}}
    binary = {"schema": {"type": "string", "format": "binary", "description": _BINARY_FORM}}
    return _body({JSON: {"schema": ref("InferRequest"), "example": example}, BINARY: binary})


def predict_request() -> dict[str, Any]:
    """The body of v1 inference."""
    example = {"instances": [{"image_bytes": {"b64": _example_file()}}], "parameters": {"counter": COUNTERS[0]}}
    return _body({JSON: {"schema": ref("PredictRequest"), "example": example}})


def infer_response() -> dict[str, Any]:
    """The answer of v2 inference: binary if an output was asked for in that form."""
    binary = {"schema": {"type": "string", "format": "binary", "description": _BINARY_FORM}}
    response = answer("The outputs, in the order asked for.", ref("InferResponse"))
    length = {
        "description": "Length of the JSON part, if binary tensors follow it.",
        "schema": {"type": "integer", "minimum": 1},
    }
    headers = {**response["headers"], "Inference-Header-Content-Length": length}
    return {**response, "headers": headers, "content": {**response["content"], BINARY: binary}}


def answer(description: str, schema: Schema, media_type: str = JSON) -> dict[str, Any]:
    """The answer of an endpoint."""
    return {"description": description, "headers": dict(ANSWER_HEADERS), "content": {media_type: {"schema": schema}}}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content}


def _example_file() -> str:
    """A gray PNG of a few bytes."""
    file = io.BytesIO()
    Image.new("L", (16, 16), 200).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()
