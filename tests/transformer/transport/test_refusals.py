"""Requests that the running service refuses over REST, and its error messages."""

import re
from typing import Any

import httpx
import pytest

from crowdserve.local.service import EmbeddedService
from tests.support.attacks import said
from tests.support.photos import gray_photo
from tests.support.requests import json_body

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": []}, "expected exactly one, 'image'"),
        ({"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["AA=="]}]}, "'image'"),
        ({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1], "data": [1.0]}]}, "BYTES .* or UINT8"),
        ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": ["AA=="]}]}, "1 elements"),
        ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["%"]}]}, "not base64"),
        ({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 999]}]}, "255"),
        ({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 3], "data": [1, 2, 3]}]}, "height"),
        ({"parameters": {"mode": "fast"}}, "unknown parameter 'mode'; known are route, counter"),
        ({"parameters": {"route": "fast"}}, "one of auto, dense"),
        ({"parameters": {"density": "yes"}}, "true or false"),
        ({"outputs": [{"name": "people"}]}, "unknown output 'people'; known are count"),
    ],
)
def test_invalid_request_explains_why(
    client: httpx.Client, infer_url: str, change: dict[str, Any], message: str
) -> None:
    response = client.post(infer_url, json={**json_body(gray_photo()), **change})
    assert response.status_code == 400
    assert re.search(message, response.json()["error"])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xd8\xff", b'"text"', b"[" * 100_000])
def test_malformed_body_is_refused(client: httpx.Client, infer_url: str, content: bytes) -> None:
    for url in (infer_url, infer_url.replace("/v2/", "/v1/").replace("/infer", ":predict")):
        response = client.post(url, content=content)
        assert response.status_code == 400
        assert response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/other", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v1/models/other:predict", 404),
        ("GET", "/v2/models/crowdserve/versions/99", 404),
        ("POST", "/v2/models/crowdserve/versions/99/infer", 404),
        ("GET", "/v2/models/crowdserve/infer", 405),
        ("POST", "/v1/models/crowdserve:explain", 404),
        ("POST", "/v2/repository/models/crowdserve/load", 404),
        ("POST", "/v2/repository/models/crowdserve/unload", 404),
        ("GET", "/v2/repository/index", 405),
        ("POST", "/docs", 405),
    ],
)
def test_unknown_paths_are_refused(
    client: httpx.Client, small_service: EmbeddedService, method: str, path: str, status: int
) -> None:
    response = client.request(method, small_service.http_url + path, headers={"x-request-id": "of-the-caller"})
    assert response.status_code == status
    assert response.json()["error"]
    assert response.headers["x-request-id"] == "of-the-caller"
    assert client.get(f"{small_service.http_url}/v2/models/crowdserve/ready").status_code == 200


def test_client_that_begins_with_http2_is_told_so_in_http2(small_service: EmbeddedService) -> None:
    answer = said(small_service.http_url, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
    assert answer[:9] == bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # no settings
    length, kind = int.from_bytes(answer[9:12], "big"), answer[12]
    assert (kind, len(answer)) == (7, 18 + length)  # GOAWAY, and nothing behind it
    assert answer[22:26] == (0xD).to_bytes(4, "big")  # HTTP_1_1_REQUIRED
    assert b"this port speaks HTTP/1.1" in answer


@pytest.mark.parametrize("body", [b"PRI * HTTP/2.0\r\n\r\n"])
def test_the_same_bytes_as_a_photo_are_a_photo(client: httpx.Client, infer_url: str, body: bytes) -> None:
    response = client.post(infer_url, content=body, headers={"content-type": "image/jpeg"})
    assert (response.status_code, "are a text" in response.text) == (400, True)
