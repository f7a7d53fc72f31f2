import base64
import json

import numpy as np
import orjson
import pytest
from kserve import InferRequest, InferResponse
from kserve.protocol.infer_type import InferOutput

from crowdserve.errors import InvalidImage, InvalidRequest
from crowdserve_transformer.transport.v1 import decode_v1, encode_v1


def instance(file: bytes) -> dict[str, object]:
    return {"image_bytes": {"b64": base64.b64encode(file).decode()}}


def test_instances_are_files() -> None:
    body = {"instances": [instance(b"one"), instance(b"two")], "parameters": {"route": "dense"}}
    request = decode_v1(orjson.dumps(body), "crowdserve", 16)
    (image,) = request.inputs
    assert (image.name, image.datatype, image.shape, image.data) == ("image", "BYTES", [2], [b"one", b"two"])
    assert request.parameters == {"route": "dense"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        {"instances": {}},
        {"instances": [7]},
        {"instances": [["AAAA"]]},
        {"instances": [{}]},
        {"instances": [{"b64": 5}]},
        {"instances": [{"image_bytes": {"b64": 5}}]},
        {"instances": [{"image_bytes": {"b64": ["AAAA"]}}]},
        {"instances": [{"name": "AAAA", "mask": 1}]},
        {"instances": [{"first": {"b64": "AAAA"}, "second": {"b64": "AAAA"}, "data": "AAAA"}]},
        {"instances": [], "inputs": []},
        {"instances": [], "parameters": [1]},
    ],
)
def test_malformed_body_shows_the_expected_form(body: object) -> None:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    with pytest.raises(InvalidRequest, match=r'"instances": \[\{"image_bytes": \{"b64"|the body is empty'):
        decode_v1(raw, "crowdserve", 16)


def test_invalid_base64_is_refused() -> None:
    with pytest.raises(InvalidImage, match="not base64"):
        decode_v1(orjson.dumps({"instances": [{"image_bytes": {"b64": "?"}}]}), "crowdserve", 16)


def test_predictions_use_the_output_names() -> None:
    def objects(*elements: bytes) -> np.ndarray:
        return np.array(elements, dtype=np.object_)

    density = np.zeros((2, 2, 3), np.float32)
    density[0, :1, :2] = 0.5
    density[1] = 0.25
    outputs = [
        InferOutput("count", [2], "FP32", np.array([1.0, 1.5], np.float32)),
        InferOutput("scene", [2], "BYTES", objects(b"dense", b"sparse")),
        InferOutput("models", [2], "BYTES", objects(b'{"vgg16":"1"}', b'{"vgg16":"2"}')),
        InferOutput("density", [2, 2, 3], "FP32", density),
        InferOutput("density_shape", [2, 2], "INT64", np.array([[1, 2], [2, 3]])),
        InferOutput("heatmap", [2], "BYTES", objects(b"\x89P", b"NG")),
    ]
    body, headers = encode_v1(InferResponse("id", "crowdserve", outputs), InferRequest("crowdserve", []))
    assert headers == {"content-type": "application/json"}
    first, second = json.loads(body)["predictions"]
    assert first == {
        "count": 1.0,
        "scene": "dense",
        "models": {"vgg16": "1"},
        "density": [[0.5, 0.5]],
        "heatmap": {"b64": base64.b64encode(b"\x89P").decode()},
    }
    assert second["density"] == [[0.25] * 3] * 2
