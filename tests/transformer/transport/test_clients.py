"""The running service through third-party clients: tritonclient and the KServe SDK."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.http
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

import crowdserve
from crowdserve.local.service import EmbeddedService
from crowdserve.protocol.tensors import OUTPUTS
from tests.support.photos import expected_count, gray_photo

pytestmark = pytest.mark.e2e


def objects(*elements: bytes) -> np.ndarray:
    array = np.empty(len(elements), dtype=np.object_)
    array[:] = elements
    return array


def of_numbers(datatype: str) -> Any:
    """An input whose contents are of no type that this service takes."""
    contents = pb.InferTensorContents(int_contents=[1, 2, 3])
    return pb.ModelInferRequest.InferInputTensor(name="image", datatype=datatype, shape=[1], contents=contents)


def asked_for(parameter: str, value: str | int) -> Any:
    """An output with a parameter of its own."""
    chosen = {"string_param": value} if isinstance(value, str) else {"int64_param": value}
    parameters = {parameter: pb.InferParameter(**chosen)}
    return pb.ModelInferRequest.InferRequestedOutputTensor(name="count", parameters=parameters)


SHARED_INPUT = pb.ModelInferRequest.InferInputTensor(
    name="image", datatype="BYTES", shape=[1], parameters={"shared_memory_region": pb.InferParameter(string_param="a")}
)


class TestTritonHttp:
    @pytest.fixture
    def triton_client(self, small_service: EmbeddedService) -> Any:
        address = small_service.http_url.removeprefix("http://")
        with tritonclient.http.InferenceServerClient(address, network_timeout=120, connection_timeout=120) as client:
            yield client

    def test_health_and_metadata(self, triton_client: Any) -> None:
        assert triton_client.is_server_live()
        assert triton_client.is_server_ready()
        assert triton_client.is_model_ready("crowdserve")
        metadata = triton_client.get_model_metadata("crowdserve")
        assert [output["name"] for output in metadata["outputs"]] == list(OUTPUTS)

    @pytest.mark.parametrize("form", ["files", "files in a column", "pixels"])
    def test_binary_in_and_out(self, triton_client: Any, form: str) -> None:
        tensor = np.full((2, 80, 96, 3), 200, np.uint8) if form == "pixels" else objects(gray_photo(), gray_photo())
        if form == "files in a column":
            tensor = tensor[:, np.newaxis]
        image = tritonclient.http.InferInput("image", list(tensor.shape), "UINT8" if form == "pixels" else "BYTES")
        image.set_data_from_numpy(tensor)
        result = triton_client.infer(
            "crowdserve", [image], request_id="7", priority=1, timeout=10**7, parameters={"density": True}
        )
        assert result.get_response()["id"] == "7"
        assert result.as_numpy("count") == pytest.approx([expected_count()] * 2, rel=1e-5)
        assert result.as_numpy("density").sum(axis=(1, 2)) == pytest.approx([expected_count()] * 2, rel=1e-5)
        assert result.as_numpy("scene").tolist() in (["dense"] * 2, [b"dense"] * 2)

    def test_some_outputs_in_binary(self, triton_client: Any) -> None:
        image = tritonclient.http.InferInput("image", [1], "BYTES")
        image.set_data_from_numpy(objects(gray_photo()))
        wanted = [
            tritonclient.http.InferRequestedOutput("heatmap", binary_data=True),
            tritonclient.http.InferRequestedOutput("count", binary_data=False),
        ]
        result = triton_client.infer("crowdserve", [image], outputs=wanted)
        assert [output["name"] for output in result.get_response()["outputs"]] == ["heatmap", "count"]
        assert result.as_numpy("heatmap")[0].startswith(b"\x89PNG")
        assert result.as_numpy("count")[0] > 0


class TestKServeRest:
    def test_infer_and_health(self, small_service: EmbeddedService) -> None:
        async def calls() -> tuple[bool, bool, Any]:
            client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=120, retries=0))
            text = base64.b64encode(gray_photo()).decode()
            image = InferInput(name="image", shape=[1], datatype="BYTES", data=[text])
            request = InferRequest(model_name="crowdserve", infer_inputs=[image], request_id="9")
            try:
                return (
                    await client.is_server_ready(small_service.http_url),
                    await client.is_model_ready(small_service.http_url, "crowdserve"),
                    await client.infer(small_service.http_url, model_name="crowdserve", data=request),
                )
            finally:
                await client.close()

        server_ready, model_ready, response = asyncio.run(calls())
        assert server_ready
        assert model_ready
        assert response.id == "9"
        assert response.get_output_by_name("count").data == pytest.approx([expected_count()], rel=1e-5)

    def test_v1_predictions(self, small_service: EmbeddedService) -> None:
        async def calls() -> Any:
            client = InferenceRESTClient(RESTConfig(protocol="v1", timeout=120, retries=0))
            instance = {"image_bytes": {"b64": base64.b64encode(gray_photo()).decode()}}
            try:
                return await client.infer(
                    small_service.http_url, model_name="crowdserve", data={"instances": [instance]}
                )
            finally:
                await client.close()

        assert asyncio.run(calls())["predictions"][0]["count"] == pytest.approx(expected_count(), rel=1e-5)


class TestKServeGrpc:
    @pytest.mark.parametrize("raw", [True, False])
    def test_infer_and_health(self, small_service: EmbeddedService, raw: bool) -> None:
        async def calls() -> tuple[bool, bool, bool, Any]:
            client = InferenceGRPCClient(small_service.grpc_url, timeout=120, retries=0)
            image = InferInput(name="image", shape=[1], datatype="BYTES", data=[gray_photo()])
            if raw:
                image.set_data_from_numpy(objects(gray_photo()))
            request = InferRequest(
                model_name="crowdserve", infer_inputs=[image], request_id="9", parameters={"route": "sparse"}
            )
            try:
                return (
                    await client.is_server_live(),
                    await client.is_server_ready(),
                    await client.is_model_ready("crowdserve"),
                    await client.infer(request),
                )
            finally:
                await client.close()

        *health, response = asyncio.run(calls())
        assert all(health)
        assert response.id == "9"
        assert response.get_output_by_name("count").as_numpy() == pytest.approx(
            [expected_count(route="sparse")], rel=1e-5
        )
        assert response.get_output_by_name("route").as_numpy().tolist() == [b"sparse"]


TRITON_GRPC = """
import json, sys
import numpy as np
import tritonclient.grpc as triton
address, photo = sys.argv[1], sys.stdin.buffer.read()
client = triton.InferenceServerClient(address)
files = np.empty(2, dtype=np.object_); files[:] = [photo, photo]
image = triton.InferInput("image", [2], "BYTES"); image.set_data_from_numpy(files)
pixels = triton.InferInput("image", [1, 80, 96, 3], "UINT8")
pixels.set_data_from_numpy(np.full((1, 80, 96, 3), 200, np.uint8))
outputs = [triton.InferRequestedOutput(name) for name in ("count", "density", "models")]
all_of_it = client.infer("crowdserve", [image], parameters={"heatmap": True}, request_id="5")
some = client.infer("crowdserve", [pixels], outputs=outputs, model_version="", client_timeout=100)
metadata = client.get_model_metadata("crowdserve")
print(json.dumps({
    "ready": [client.is_server_live(), client.is_server_ready(), client.is_model_ready("crowdserve")],
    "id": all_of_it.get_response().id,
    "count": all_of_it.as_numpy("count").tolist(),
    "png": all_of_it.as_numpy("heatmap")[1][:4].hex(),
    "names": [output.name for output in some.get_response().outputs],
    "pixel count": some.as_numpy("count").tolist(),
    "density": float(some.as_numpy("density").sum()),
    "versions": list(metadata.versions), "outputs": [output.name for output in metadata.outputs],
}))
"""


def test_tritonclient_grpc(small_service: EmbeddedService) -> None:
    """In a separate process: its protobuf code conflicts with that of the KServe SDK."""
    command = [sys.executable, "-c", TRITON_GRPC, small_service.grpc_url]
    ended = subprocess.run(command, input=gray_photo(), capture_output=True, check=False, timeout=200)
    assert ended.returncode == 0, ended.stderr.decode()
    found = json.loads(ended.stdout)
    assert found["ready"] == [True, True, True]
    assert found["id"] == "5"
    assert found["count"] == pytest.approx([expected_count()] * 2, rel=1e-5)
    assert bytes.fromhex(found["png"]) == b"\x89PNG"
    assert found["names"] == ["count", "density", "models"]
    assert found["pixel count"] == pytest.approx([expected_count()], rel=1e-5)
    assert found["density"] == pytest.approx(expected_count(), rel=1e-5)
    assert found["versions"] == [crowdserve.__version__]
    assert found["outputs"] == list(OUTPUTS)


class TestGrpcRefusal:
    @pytest.fixture
    def stub(self, small_service: EmbeddedService) -> Any:
        with grpc.insecure_channel(small_service.grpc_url) as channel:
            yield GRPCInferenceServiceStub(channel)

    @staticmethod
    def request(files: list[bytes], **changes: Any) -> Any:
        raw = b"".join(len(file).to_bytes(4, "little") + file for file in files)
        image = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[len(files)])
        message = {"model_name": "crowdserve", "inputs": [image], "raw_input_contents": [raw], **changes}
        return pb.ModelInferRequest(**message)

    def code_of(self, call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        return caught.value.code(), caught.value.details()

    @pytest.mark.parametrize(
        ("changes", "code", "message"),
        [
            ({"raw_input_contents": [b"\x09\0\0\0short"]}, "INVALID_ARGUMENT", "ends early"),
            ({"raw_input_contents": [b"", b""]}, "INVALID_ARGUMENT", "1 inputs but 2 raw_input_contents"),
            (
                {"raw_input_contents": []},
                "INVALID_ARGUMENT",
                "no contents; expected bytes_contents or raw_input_contents",
            ),
            (
                {"inputs": [of_numbers("UINT8")], "raw_input_contents": []},
                "INVALID_ARGUMENT",
                "expected uint_contents or",
            ),
            (
                {"inputs": [of_numbers("BYTES")], "raw_input_contents": []},
                "INVALID_ARGUMENT",
                "has int_contents; expected",
            ),
            ({"inputs": [SHARED_INPUT], "raw_input_contents": []}, "INVALID_ARGUMENT", "'image' is in shared memory"),
            ({"outputs": [asked_for("shared_memory_region", "a")]}, "INVALID_ARGUMENT", "'count' is in shared memory"),
            (
                {"outputs": [asked_for("classification", 1)]},
                "INVALID_ARGUMENT",
                "leave out classification (class_count)",
            ),
            ({"inputs": [], "raw_input_contents": []}, "INVALID_ARGUMENT", "expected exactly one, 'image'"),
            ({"parameters": {"fast": pb.InferParameter(bool_param=True)}}, "INVALID_ARGUMENT", "unknown parameter"),
            ({"parameters": {"route": pb.InferParameter(int64_param=1)}}, "INVALID_ARGUMENT", "one of auto"),
            ({"model_name": "other"}, "NOT_FOUND", "'other' does not exist"),
            ({"model_version": "99"}, "NOT_FOUND", "version '99'"),
        ],
    )
    def test_invalid_request_explains_why(self, stub: Any, changes: dict[str, Any], code: str, message: str) -> None:
        found = self.code_of(lambda: stub.ModelInfer(self.request([gray_photo()], **changes), timeout=60))
        assert found[0] == grpc.StatusCode[code]
        assert message in found[1]

    def test_empty_contents_beside_raw_ones_are_none(self, stub: Any) -> None:
        image = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
        image.contents.SetInParent()
        assert stub.ModelInfer(self.request([gray_photo()], inputs=[image]), timeout=60).outputs
        image.contents.bytes_contents.append(b"a")
        _, message = self.code_of(lambda: stub.ModelInfer(self.request([gray_photo()], inputs=[image]), timeout=60))
        assert "has both contents and raw_input_contents" in message

    def test_invalid_image_explains_why(self, stub: Any) -> None:
        code, message = self.code_of(lambda: stub.ModelInfer(self.request([b"not an image"]), timeout=60))
        assert (code, "12 bytes are a text" in message) == (grpc.StatusCode.INVALID_ARGUMENT, True)

    def test_typed_pixels(self, stub: Any) -> None:
        def request(values: list[int]) -> Any:
            contents = pb.InferTensorContents(uint_contents=values)
            image = pb.ModelInferRequest.InferInputTensor(
                name="image", datatype="UINT8", shape=[1, 8, 16, 3], contents=contents
            )
            return pb.ModelInferRequest(model_name="crowdserve", inputs=[image])

        response = stub.ModelInfer(request([200] * 8 * 16 * 3), timeout=60)
        assert response.id
        count = np.frombuffer(response.raw_output_contents[0], "<f4")
        assert count == pytest.approx([expected_count(200, 16, 8)], rel=1e-5)
        code, message = self.code_of(lambda: stub.ModelInfer(request([300] * 8 * 16 * 3), timeout=60))
        assert (code, "0 to 255" in message) == (grpc.StatusCode.INVALID_ARGUMENT, True)

    def test_models_cannot_be_loaded_or_unloaded(self, stub: Any) -> None:
        calls = {
            stub.RepositoryModelLoad: pb.RepositoryModelLoadRequest(model_name="crowdserve"),
            stub.RepositoryModelUnload: pb.RepositoryModelUnloadRequest(model_name="crowdserve"),
        }
        for method, request in calls.items():
            code, _ = self.code_of(lambda method=method, request=request: method(request, timeout=60))
            assert code == grpc.StatusCode.UNIMPLEMENTED
        assert stub.ModelReady(pb.ModelReadyRequest(name="crowdserve"), timeout=60).ready
        code, _ = self.code_of(lambda: stub.ModelReady(pb.ModelReadyRequest(name="other"), timeout=60))
        assert code == grpc.StatusCode.NOT_FOUND
