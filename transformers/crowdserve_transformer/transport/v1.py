"""KServe's v1 protocol on top of v2: instances to tensors, tensors to predictions."""

import base64
from typing import Any

import numpy as np
import orjson
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.infer_type import InferOutput

from crowdserve.errors import InvalidRequest, quoted
from crowdserve.protocol.tensors import IMAGE, OUTPUTS
from crowdserve_transformer.counting.request import check_batch
from crowdserve_transformer.transport.codec import parse_json
from crowdserve_transformer.transport.json_data import decode_base64, text_of

EXAMPLE = '{"instances": [{"image_bytes": {"b64": "<base64 of the file>"}}], "parameters": {}}'

PICTURE_KEYS = ("image_bytes", "image", "data")
"""Members that hold the picture where an instance has several with base64, or one that is base64 itself."""


def decode_v1(body: bytes | bytearray, model_name: str, max_files: int) -> InferRequest:
    """Decode a v1 body of at most `max_files` instances.

    Raises:
        ImageTooLarge: If there are more instances, of which none is decoded then.
        InvalidRequest: If the body does not have the form of `EXAMPLE`.
    """
    message = parse_json(body)
    del body
    if isinstance(message, dict) and "inputs" in message and "instances" not in message:
        raise InvalidRequest(f"the body has 'inputs', as in v2: send it to /v2/models/{quoted(model_name)[1:-1]}/infer")
    if not isinstance(message, dict) or not isinstance(message.get("instances"), list):
        raise InvalidRequest(f"the body has no list of instances; expected {EXAMPLE}")
    unknown = sorted(set(message) - {"instances", "parameters", "signature_name"})
    parameters = message.get("parameters") or {}
    if unknown or not isinstance(parameters, dict):
        raise InvalidRequest(f"expected {EXAMPLE}, not {quoted(unknown[0]) if unknown else 'a list of parameters'}")
    instances = message.pop("instances")
    if len(instances) > max_files:
        check_batch(len(instances), max_files)
    files = [_file(instances.pop(0), number) for number in range(1, len(instances) + 1)]
    image = InferInput(name=IMAGE, shape=[len(files)], datatype="BYTES", data=files)
    return InferRequest(model_name=model_name, infer_inputs=[image], parameters=parameters)


def encode_v1(response: InferResponse, request: InferRequest) -> tuple[bytes, dict[str, str]]:
    """One prediction per image, with the names of the v2 outputs; files are ``{"b64": …}`` objects.

    Returns:
        The body and its headers.
    """
    images = response.outputs[0].shape[0]
    tensors = {output.name: output for output in response.outputs}
    shapes = tensors.pop("density_shape", None)
    predictions = []
    for index in range(images):
        prediction = {name: _value(output, index) for name, output in tensors.items()}
        if shapes is not None:
            rows, columns = shapes.data[index]
            prediction["density"] = np.ascontiguousarray(tensors["density"].data[index, :rows, :columns])
        predictions.append(prediction)
    body = orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)
    return body, {"content-type": "application/json"}


def _value(output: InferOutput, index: int) -> Any:
    value = output.data[index]
    if output.name == "models":
        return orjson.loads(value)
    if OUTPUTS[output.name].binary:
        return {"b64": base64.b64encode(value).decode()}
    if output.datatype != "BYTES":
        return np.ascontiguousarray(value) if output.data.ndim > 1 else value
    return [element.decode() for element in value] if output.data.ndim > 1 else value.decode()


def _file(instance: Any, number: int) -> bytes:
    """The picture of an instance; what else is in there is for others, and passed over."""
    match instance:
        case str(text) | {"b64": str(text)}:
            return decode_base64(text)
        case dict():
            objects = {key: found for key, value in instance.items() if (found := _of_object(value)) is not None}
            texts = {} if objects else {key: value for key, value in instance.items() if isinstance(value, str)}
            known = [found[key] for found in (objects, texts) for key in PICTURE_KEYS if key in found]
            only = list(objects.values()) if len(objects) == 1 else []
            if only or known:
                return decode_base64([*only, *known][0])
    raise InvalidRequest(f"instance {number} does not have the form in {EXAMPLE}")


def _of_object(value: Any) -> str | None:
    text = text_of(value) if isinstance(value, dict) else None
    return text if isinstance(text, str) else None
