"""JSON that is made to be parsed for long, or to become far more than it was."""

import json
import os
from collections.abc import Callable

import pytest

from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.transport import json_limits
from tests.support.attacks import json_request, post, seconds_of_photo, watched
from tests.support.photos import gray_photo
from tests.support.requests import binary_body, json_body

pytestmark = pytest.mark.e2e

V1 = "/v1/models/crowdserve:predict"
MIB = 2**20
timed = pytest.mark.skipif(not os.environ.get("CROWDSERVE_HOSTILE_TEST"), reason="make hostile-test")


@pytest.fixture(scope="module")
def url(small_service: EmbeddedService) -> str:
    return small_service.http_url


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[" * 1_100_000, "lists and objects"),
        (b'{"a":' * 600_000, "over 20,000 quotes"),
        (b"[" + b"1," * 2_600_000, "over 2,500,000 values"),
        (b"[" + b'"",' * 11_000 + b'"' + b"a" * 300_000 + b'"]', "over 20,000 quotes"),
        (json_request(b'["' + b"A" * 300_000 + b'\\ud83d\\ude00"]'), "escapes of characters that base64"),
        (json_request(b'["' + b"A" * (4 * MIB) + "😀".encode() + b'"]'), "must be ASCII"),
        (json_request(b"[" + b"9" * 300_000 + b"]"), "number is infinity"),
        (json_request(b"[1e999999]"), "number is infinity"),
        (json_request(b"[" * 1000 + b"]" * 1000), "depth limit|not base64|expected a text"),
        (b"\xef\xbb\xbf{}", "'inputs' is missing"),
        (b'{"inputs": "\xff\xfe"}', "not JSON"),
        (b'{"inputs": "\\ud800"}', "not JSON"),
        (b"NaN", "are a text: send a photo"),
        (b'{"a":1}' * 2, "not JSON"),
        (b" " * 300_000, "not JSON"),
        (b"\0" * 300_000, "a file of zeros only"),
    ],
)
@pytest.mark.parametrize("path", ["/v2/models/crowdserve/infer", V1])
def test_body_is_refused_before_it_costs_anything(url: str, path: str, body: bytes, message: str) -> None:
    response = post(url, body, path)
    assert response.status_code in {400, 413}, response.text
    error = response.json()["error"]
    assert len(error) < 400
    if path != V1:
        assert any(part in error for part in message.split("|")), error


def test_batch_is_counted_before_any_file_is_decoded(url: str) -> None:
    files = ",".join(['"%%%"'] * 17)  # no base64: decoding the first one would end in another error
    instances = ",".join(['{"image_bytes": {"b64": "%%%"}}'] * 17)
    for response in (
        post(url, json_request(f"[{files}]".encode(), shape=[17])),
        post(url, json_request(f"[[{files}]]".encode(), shape=[17])),
        post(url, f'{{"instances": [{instances}]}}'.encode(), V1),
    ):
        assert response.status_code == 413, response.text
        assert response.json()["error"] == "17 images in one request; the limit is 16: send several requests"


def test_binary_elements_are_counted_before_any_is_copied(url: str) -> None:
    body, headers = binary_body([b""] * 1_000_000)
    response = post(url, body, **headers)
    assert response.status_code == 413, response.text
    assert "17 images in one request" in response.json()["error"]


@pytest.mark.parametrize(
    "change",
    [
        {"id": "a" * 129},
        {"id": "two\nlines"},
        {"parameters": {"a" * 100_000: 1}},
        {"parameters": {f"a{n}": 1 for n in range(5000)}},
        {"parameters": {"route": "a" * 100_000}},
        {"parameters": {"route": ["a"] * 1000}},
        {"parameters": {"counter": {"a": [{"b": ["c" * 1000]}]}}},
        {"outputs": [{"name": "b" * 100_000}]},
        {"outputs": [{"name": "\u202e\x1b[31m"}]},
        {"inputs": [{"name": "c" * 100_000, "datatype": "BYTES", "shape": [1], "data": []}]},
        {"inputs": [{"name": "\x1b[31m" * 100, "datatype": "BYTES", "shape": [1], "data": ["AA=="]}]},
        {"inputs": [{"name": "image", "datatype": "d" * 100_000, "shape": [1], "data": []}]},
        {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1] * 100_000, "data": []}]},
        {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [2**62] * 4, "data": []}]},
        {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 2**62, 2**62, 3], "data": [1]}]},
        {"inputs": [{"name": "image", "datatype": "BYTES", "shape": ["e" * 100_000], "data": []}]},
        {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["f" * 100_001]}]},
        {"inputs": [{"name": f"image{n}", "datatype": "BYTES", "shape": [1], "data": ["AA=="]} for n in range(500)]},
    ],
)
def test_what_the_caller_wrote_is_cut_and_escaped_in_messages(url: str, change: dict[str, object]) -> None:
    response = post(url, json.dumps({**json_body(gray_photo()), **change}).encode())
    assert response.status_code in {400, 413}, response.text
    error = response.json()["error"]
    assert len(error) < 700
    assert error.isprintable()


def test_outputs_asked_for_many_times_are_answered_once(url: str) -> None:
    response = post(url, json.dumps(json_body(gray_photo(), outputs=[{"name": "count"}] * 3000)).encode())
    assert [output["name"] for output in response.json()["outputs"]] == ["count"]


def test_large_ordinary_bodies_pass_the_limits() -> None:
    """A file of 40 MB, a photo as nested and as flat numbers, and escapes that encoders write."""
    json_limits.check_json(json_request(b'["' + b"A" * 56_000_000 + b'"]'))
    json_limits.check_json(json_request(b'["' + b"AAAA\\/\\u002B\\r\\n" * 100_000 + b'"]'))
    json_limits.check_json(b'{"id": "\\u0444\\u043e\\u0442\\u043e", "x": "' + b"A" * 300_000 + b'"}')
    json_limits.check_json('{"id": "фото", "x": "'.encode() + b"A" * 300_000 + b'"}')
    row = b"[" + b",".join([b"[1,22,255]"] * 1024) + b"]"
    json_limits.check_json(json_request(b"[[" + b",".join([row] * 768) + b"]]", "UINT8", (1, 768, 1024, 3)))
    json_limits.check_json(json_request(b"[" + b"255," * (1024 * 768 * 3 - 1) + b"1]", "UINT8", (1, 768, 1024, 3)))


def base64_request() -> bytes:
    """A file of 44 MiB."""
    return json_request(b'["' + b"A" * (59 * MIB) + b'"]')


def numbers() -> bytes:
    """The pixels of a photo."""
    return b",".join([b"[1,22,255]"] * (1024 * 768))


ATTACKS: dict[str, Callable[[], bytes]] = {
    "brackets with commas": lambda: b"[" * (63 * MIB) + b"," * 33_002,
    "brackets": lambda: b"[" * (63 * MIB),
    "braces": lambda: b'{"a":' * (12 * MIB),
    "texts": lambda: json_request(b"[" + b'"",' * 3_900_000 + b'""]'),
    "allowed texts": lambda: json_request(b"[" + b'"",' * 9_000 + b'"' + b"A" * (60 * MIB) + b'"]'),
    "allowed lists": lambda: json_request(b"[" + b"[]," * 990_000 + b"[]]"),
    "allowed objects": lambda: json_request(b"[" + b"{}," * 990_000 + b"{}]"),
    "numbers": lambda: json_request(b"[" + b"1," * (30 * MIB) + b"1]", "UINT8"),
    "allowed floats": lambda: json_request(b"[" + b"0.12345678901234567," * 2_490_000 + b"1]", "UINT8"),
    "digits": lambda: json_request(b"[" + b"1" * (62 * MIB) + b"]"),
    "fraction": lambda: json_request(b"[0." + b"1" * (62 * MIB) + b"]"),
    "escapes": lambda: json_request(b'["' + b"\\u0041" * (10 * MIB) + b'"]'),
    "backslashes": lambda: json_request(b'["' + b"\\\\" * (31 * MIB) + b'"]'),
    "spaces": lambda: json_request(b"[" + b" " * (62 * MIB) + b"]"),
    "wide": lambda: json_request(b'["' + "😀".encode() * (15 * MIB) + b'"]'),
    "one wide": lambda: json_request(b'["' + b"A" * (60 * MIB) + "😀".encode() + b'"]'),
    "base64": base64_request,
    "not base64 at its end": lambda: base64_request()[:-4] + b'%"]}]}',
    "many elements": lambda: json_request(b"[" + b",".join([b'"' + b"A" * (3 * MIB) + b'"'] * 20) + b"]"),
    "nested pixels": lambda: json_request(b"[[" + numbers() + b"]]", "UINT8", (1, 1, 1024 * 768, 3)),
    "uneven pixels": lambda: json_request(b"[[" + numbers() + b",[1]]]", "UINT8", (1, 1, 1024 * 768, 3)),
}


@timed
@pytest.mark.parametrize("name", ATTACKS)
def test_others_are_answered_meanwhile(small_service: EmbeddedService, name: str) -> None:
    url, body = small_service.http_url, ATTACKS[name]()
    before = seconds_of_photo(url)
    with watched(url, small_service.transformer.pid) as watch:
        for _ in range(2):
            assert post(url, body).status_code < 500
        beside = seconds_of_photo(url)
    print(f"{name}: {watch.gap_seconds:.2f} s, {watch.grown_bytes / MIB:.0f} MiB")
    assert watch.gap_seconds < 0.6
    assert watch.grown_bytes < 400 * MIB
    assert beside < before + 2
    assert not watch.failures
