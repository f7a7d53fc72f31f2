"""Limits on body, image and batch, over every protocol."""

import base64
import gzip
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from crowdserve.local.service import EmbeddedService
from tests.support.photos import gray_photo
from tests.support.requests import binary_body, json_body
from tests.support.transformers import RunningTransformer, StartTransformer

pytestmark = pytest.mark.e2e

MAX_BODY_BYTES = 100_000


@pytest.fixture(scope="module")
def limited(small_service: EmbeddedService, start_transformer: StartTransformer) -> Iterator[RunningTransformer]:
    """A transformer with low limits, in front of the shared Triton."""
    limits = {"max_body_bytes": MAX_BODY_BYTES, "max_pixels": 10_000, "max_batch_size": 2}
    with start_transformer(small_service.triton.http_url, **limits) as running:
        yield running


@pytest.fixture(scope="module")
def url(limited: RunningTransformer) -> str:
    return f"{limited.http_url}/v2/models/crowdserve/infer"


def requests_with(client: httpx.Client, limited: RunningTransformer, protocol: str, status: int) -> float:
    lines = client.get(limited.metrics_url).text.splitlines()
    name = "crowdserve_requests_total"
    labels = (f'protocol="{protocol}"', f'status="{status}"')
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and all(la in line for la in labels))


def refused(response: httpx.Response, message: str) -> bool:
    assert response.status_code == 413, response.text
    return message in response.json()["error"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_body_is_refused_by_what_it_inflates_to(client: httpx.Client, url: str, coding: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}[coding]
    body = pack(b"x" * (MAX_BODY_BYTES + 1))
    assert len(body) < 1000
    assert refused(client.post(url, content=body, headers={"content-encoding": coding}), "over 100,000 bytes")
    at_limit = pack(b"x" * MAX_BODY_BYTES)
    assert client.post(url, content=at_limit, headers={"content-encoding": coding}).status_code == 400


@pytest.mark.parametrize("path", ["/v2/models/crowdserve/infer", "/v1/models/crowdserve:predict"])
@pytest.mark.parametrize("announced", [True, False])
def test_large_body_is_refused(client: httpx.Client, limited: RunningTransformer, path: str, announced: bool) -> None:
    body = b"x" * (3 * MAX_BODY_BYTES)
    before = requests_with(client, limited, f"{path[1:3]}-rest", 413)
    content = body if announced else (body[i : i + 1000] for i in range(0, len(body), 1000))
    response = client.post(limited.http_url + path, content=content)
    assert ("content-length" in response.request.headers) is announced
    assert refused(response, "over 100,000 bytes")
    assert requests_with(client, limited, f"{path[1:3]}-rest", 413) == before + 1


def test_body_at_the_limit_is_read(client: httpx.Client, url: str) -> None:
    assert client.post(url, content=b" " * MAX_BODY_BYTES).status_code == 400
    assert client.post(url, content=b" " * (MAX_BODY_BYTES + 1)).status_code == 413


def test_endless_body_is_cut_off_after_its_refusal(url: str, limited: RunningTransformer) -> None:
    """A client that never stops sending gets its response and then a closed connection; memory stays bounded."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port), timeout=60) as connection:
        head = f"POST {address.path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        sent = 0
        with suppress(ConnectionError):
            while sent < 20_000:  # 1.3 GB
                connection.sendall(chunk)
                sent += 1
    assert sent < 1_000
    assert httpx.get(f"{limited.http_url}/v2/health/live", trust_env=False).status_code == 200


def test_large_image_is_refused(client: httpx.Client, url: str) -> None:
    assert client.post(url, json=json_body(gray_photo(200, 100, 100))).status_code == 200
    assert refused(client.post(url, json=json_body(gray_photo(200, 101, 100))), "101x100 px")
    body, headers = binary_body(np.zeros((1, 100, 101, 3), np.uint8))
    assert refused(client.post(url, content=body, headers=headers), "101x100 px; the limit is 10,000 pixels")


def test_large_batch_is_refused(client: httpx.Client, limited: RunningTransformer, url: str) -> None:
    photo = gray_photo()
    assert client.post(url, json=json_body(photo, photo)).status_code == 200
    assert refused(client.post(url, json=json_body(photo, photo, photo)), "3 images in one request; the limit is 2")
    instances = [{"image_bytes": {"b64": base64.b64encode(photo).decode()}}] * 3
    v1 = client.post(f"{limited.http_url}/v1/models/crowdserve:predict", json={"instances": instances})
    assert refused(v1, "3 images in one request")


def test_grpc_has_the_same_limits(limited: RunningTransformer) -> None:
    def call(*files: bytes) -> Any:
        raw = b"".join(len(file).to_bytes(4, "little") + file for file in files)
        image = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[len(files)])
        message = pb.ModelInferRequest(model_name="crowdserve", inputs=[image], raw_input_contents=[raw])
        with grpc.insecure_channel(limited.grpc_url) as channel:
            return GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=60)

    def refusal(*files: bytes) -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as caught:
            call(*files)
        return caught.value

    assert call(gray_photo()).id
    assert refusal(bytes(MAX_BODY_BYTES + 1)).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    for error, message in ((refusal(gray_photo(200, 101, 100)), "101x100"), (refusal(*[gray_photo()] * 3), "3 images")):
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert message in error.details()


def test_disconnected_client_is_not_a_service_failure(
    client: httpx.Client, url: str, limited: RunningTransformer
) -> None:
    address, before = httpx.URL(url), requests_with(client, limited, "v2-rest", 499)
    with socket.create_connection((address.host, address.port), timeout=60) as connection:
        connection.sendall(f"POST {address.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nhalf".encode())
    deadline = time.monotonic() + 10
    while requests_with(client, limited, "v2-rest", 499) == before:
        assert time.monotonic() < deadline
    assert "Traceback" not in limited.process.log.read_text()
