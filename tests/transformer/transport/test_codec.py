import json
import time
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kserve import InferRequest, InferResponse
from kserve.protocol.infer_type import InferOutput, RequestedOutput
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from crowdserve.errors import ImageTooLarge, InvalidRequest
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve_transformer.transport.codec import decode_rest, encode_rest, from_raw
from crowdserve_transformer.transport.json_limits import MAX_VALUES


def triton_request(tensor: np.ndarray, **request: Any) -> tuple[bytes, dict[str, str]]:
    """A request body made by tritonclient."""
    image = InferInput("image", list(tensor.shape), "BYTES" if tensor.dtype == np.object_ else "UINT8")
    image.set_data_from_numpy(tensor)
    body, json_length = InferenceServerClient.generate_request_body([image], **request)
    return body, {JSON_LENGTH_HEADER: str(json_length)}


def objects(*elements: bytes) -> np.ndarray:
    array = np.empty(len(elements), dtype=np.object_)
    array[:] = elements
    return array


class TestDecode:
    def test_binary_pixels_are_a_view_of_the_body(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
        body, headers = triton_request(pixels, request_id="42", parameters={"route": "dense"})
        request = decode_rest(body, headers, "crowdserve")
        (image,) = request.inputs
        assert (image.name, image.datatype, image.shape) == ("image", "UINT8", [2, 5, 7, 3])
        assert np.shares_memory(image.data, np.frombuffer(body, np.uint8))
        np.testing.assert_array_equal(image.data, pixels.ravel())
        assert (request.id, request.parameters["route"]) == ("42", "dense")

    def test_photos_pixels_are_decoded_within_ten_milliseconds(self) -> None:
        body, headers = triton_request(np.zeros((1, 768, 1024, 3), np.uint8))
        seconds = []
        for _ in range(9):
            start = time.perf_counter()
            decode_rest(body, headers, "crowdserve")
            seconds.append(time.perf_counter() - start)
        assert min(seconds) < 0.010

    @given(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
    def test_binary_files_round_trip(self, files: list[bytes]) -> None:
        body, headers = triton_request(objects(*files))
        (image,) = decode_rest(body, headers, "crowdserve").inputs
        assert image.data == files

    def test_several_tensors_and_requested_outputs(self) -> None:
        first, second = b"abc", b"defgh"
        inputs = [
            {"name": name, "datatype": "UINT8", "shape": [len(raw)], "parameters": {"binary_data_size": len(raw)}}
            for name, raw in (("a", first), ("b", second))
        ]
        outputs = [{"name": "count", "parameters": {"binary_data": True}}, {"name": "scene"}]
        head = orjson.dumps({"inputs": inputs, "outputs": outputs})
        request = decode_rest(head + first + second, {JSON_LENGTH_HEADER: str(len(head))}, "crowdserve")
        assert [tensor.data.tobytes() for tensor in request.inputs] == [first, second]
        assert [(o.name, o.binary_data) for o in request.request_outputs] == [("count", True), ("scene", None)]

    @pytest.mark.parametrize("datatype", ["FP32", "INT64", "whatever"])
    def test_tensors_of_other_types_are_not_parsed(self, datatype: str) -> None:
        image = {"name": "image", "datatype": datatype, "shape": [1], "data": [1.5]}
        (tensor,) = decode_rest(orjson.dumps({"inputs": [image]}), {}, "crowdserve").inputs
        assert (tensor.datatype, tensor.data) == (datatype.upper(), None)


IMAGE = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AAAA"]}


class TestRefusal:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"", "the body is empty"),
            (b"{", "not JSON"),
            (b"\xff\xd8\xff", "not JSON .*Inference-Header-Content-Length"),
            (b"[]", "the body must be a JSON object, not a list; expected for instance"),
            (b"null", "must be a JSON object"),
            ({}, "'inputs' is missing"),
            ({"inputs": {}}, "'inputs' is not a list"),
            ({"inputs": ["image"]}, "element of 'inputs' must be a JSON object"),
            ({"inputs": [{**IMAGE, "name": None}]}, "'name' is None"),
            ({"inputs": [{**IMAGE, "datatype": 3}]}, "'datatype' is 3"),
            ({"inputs": [{**IMAGE, "shape": "1"}]}, "shape '1'; expected a list of whole numbers"),
            ({"inputs": [{**IMAGE, "shape": [1, -1]}]}, "shape"),
            ({"inputs": [{**IMAGE, "shape": [True]}]}, "shape"),
            ({"inputs": [{**IMAGE, "shape": [1.0]}]}, "shape"),
            ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}]}, "has no data"),
            ({"inputs": [{**IMAGE, "data": 7}]}, "has no data"),
            ({"inputs": [{**IMAGE, "datatype": "UINT8", "data": "AAAA"}]}, "has no data"),
            ({"inputs": [{**IMAGE, "parameters": []}]} | {"parameters": [1]}, "parameters must be a JSON object"),
            ({"inputs": [{**IMAGE, "parameters": [1]}]}, "parameters of input 'image' must be a JSON object"),
            ({"inputs": [{**IMAGE, "parameters": {"binary_data_size": 4}}]}, "both data and binary_data_size"),
            ({"inputs": [IMAGE], "id": 7}, "'id' is 7"),
            ({"inputs": [IMAGE], "id": {}}, "'id' is {}"),
            ({"inputs": [IMAGE], "outputs": "count"}, "'outputs' is not a list"),
            ({"inputs": [IMAGE], "outputs": [{"name": 5}]}, "'name' is 5"),
        ],
    )
    def test_invalid_v2_request_is_refused(self, body: object, message: str) -> None:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        with pytest.raises(InvalidRequest, match=message):
            decode_rest(raw, {}, "crowdserve")

    @pytest.mark.parametrize("length", ["-1", "1e3", "", "9999999", "²", "0x10", " 10"])
    def test_invalid_json_length_is_refused(self, length: str) -> None:
        with pytest.raises(InvalidRequest, match="Inference-Header-Content-Length is"):
            decode_rest(orjson.dumps({"inputs": [IMAGE]}), {JSON_LENGTH_HEADER: length}, "crowdserve")

    @pytest.mark.parametrize("size", [-1, 99, 1.5, "3", True, None])
    def test_binary_size_beyond_the_body_is_refused(self, size: object) -> None:
        image = {"name": "image", "datatype": "UINT8", "shape": [3], "parameters": {"binary_data_size": size}}
        head = orjson.dumps({"inputs": [image]})
        with pytest.raises(InvalidRequest, match=r"has binary_data_size .*, but 3 bytes are left"):
            decode_rest(head + b"abc", {JSON_LENGTH_HEADER: str(len(head))}, "crowdserve")

    def test_surplus_bytes_are_refused(self) -> None:
        head = orjson.dumps({"inputs": [IMAGE]})
        with pytest.raises(InvalidRequest, match="3 bytes follow"):
            decode_rest(head + b"abc", {JSON_LENGTH_HEADER: str(len(head))}, "crowdserve")

    @pytest.mark.parametrize("raw", [b"\x01", b"\x01\0\0", b"\x05\0\0\0abc", b"\xff\xff\xff\xffabc"])
    def test_truncated_bytes_tensor_is_refused(self, raw: bytes) -> None:
        with pytest.raises(InvalidRequest, match="ends early"):
            from_raw("BYTES", raw)

    def test_json_with_too_many_values_is_not_parsed(self) -> None:
        body = b"[" + b"1," * (MAX_VALUES + 1)  # not JSON either, but it is not parsed
        with pytest.raises(ImageTooLarge, match="2,500,000 values; send encoded files"):
            decode_rest(body, {}, "crowdserve")

    @given(st.binary(max_size=200), st.integers(0, 250))
    def test_random_bytes_are_refused(self, noise: bytes, length: int) -> None:
        with pytest.raises(InvalidRequest):
            decode_rest(noise, {JSON_LENGTH_HEADER: str(length)}, "crowdserve")


@pytest.fixture
def response() -> InferResponse:
    density = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    return InferResponse(
        "an id",
        "crowdserve",
        [
            InferOutput("count", [1], "FP32", np.array([15.25], np.float32)),
            InferOutput("scene", [1], "BYTES", objects(b"dense")),
            InferOutput("density", [1, 2, 3], "FP32", density.transpose(0, 1, 2)),
            InferOutput("density_shape", [1, 2], "INT64", np.array([[2, 3]])),
            InferOutput("heatmap", [1], "BYTES", objects(b"\x89PNG\0\xff")),
        ],
        "0.2.0",
    )


def request_for(**changes: Any) -> InferRequest:
    return InferRequest(**{"model_name": "crowdserve", "infer_inputs": [], "parameters": {}, **changes})


class TestEncode:
    def test_json_response(self, response: InferResponse) -> None:
        body, headers = encode_rest(response, request_for())
        assert headers == {"content-type": "application/json"}
        message = json.loads(body)
        assert (message["id"], message["model_name"], message["model_version"]) == ("an id", "crowdserve", "0.2.0")
        data = {output["name"]: output["data"] for output in message["outputs"]}
        assert data["count"] == [15.25]
        assert data["scene"] == ["dense"]
        assert data["density"] == [0, 1, 2, 3, 4, 5]
        assert data["density_shape"] == [2, 3]
        assert data["heatmap"] == ["iVBORwD/"]

    @pytest.mark.parametrize("by", ["binary_data_output", "binary_data"])
    def test_tritonclient_reads_binary_responses(self, response: InferResponse, by: str) -> None:
        names = [output.name for output in response.outputs]
        if by == "binary_data":
            request = request_for(request_outputs=[RequestedOutput(n, {"binary_data": n != "scene"}) for n in names])
        else:
            request = request_for(parameters={"binary_data_output": True})
        body, headers = encode_rest(response, request)
        result = InferenceServerClient.parse_response_body(body, header_length=int(headers[JSON_LENGTH_HEADER]))
        assert result.as_numpy("count").tolist() == [15.25]
        assert result.as_numpy("density").tolist() == [[[0, 1, 2], [3, 4, 5]]]
        assert result.as_numpy("density_shape").tolist() == [[2, 3]]
        assert result.as_numpy("heatmap").tolist() == [b"\x89PNG\0\xff"]
        assert result.as_numpy("scene").tolist() in ([b"dense"], ["dense"])

    def test_binary_can_be_set_per_output(self, response: InferResponse) -> None:
        outputs = [RequestedOutput("count", {"binary_data": False})]
        body, headers = encode_rest(
            response, request_for(parameters={"binary_data_output": True}, request_outputs=outputs)
        )
        message = json.loads(body[: int(headers[JSON_LENGTH_HEADER])])
        assert "data" in message["outputs"][0]
        assert all("data" not in output for output in message["outputs"][1:])

    def test_tritonclient_requests_are_read(self) -> None:
        image = InferInput("image", [1], "BYTES")
        image.set_data_from_numpy(objects(b"file"))
        asked = [InferRequestedOutput("count", binary_data=True), InferRequestedOutput("scene", binary_data=False)]
        body, length = InferenceServerClient.generate_request_body([image], outputs=asked)
        request = decode_rest(body, {JSON_LENGTH_HEADER: str(length)}, "crowdserve")
        assert [(o.name, o.binary_data) for o in request.request_outputs] == [("count", True), ("scene", False)]
