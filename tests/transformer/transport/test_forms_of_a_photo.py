"""One photo, sent in every form that clients use, to the running service; and the forms that are refused by name."""

import base64
import concurrent.futures
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from crowdserve.local.service import EmbeddedService
from tests.support.photos import expected_count, gray_photo
from tests.support.requests import binary_body, json_body

pytestmark = pytest.mark.e2e

V2, V1 = "/v2/models/crowdserve/infer", "/v1/models/crowdserve:predict"
PHOTO = gray_photo(file_format="JPEG")
TEXT = base64.b64encode(PHOTO).decode()
JSON, OCTETS = {"content-type": "application/json"}, {"content-type": "application/octet-stream"}
RAW = {**OCTETS, "inference-header-content-length": "0"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
Sent = tuple[bytes, dict[str, str]]


def v2(data: Any) -> Sent:
    image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": data}
    return json.dumps({"inputs": [image]}).encode(), JSON


def v1(instance: Any) -> Sent:
    return json.dumps({"instances": [instance]}).encode(), JSON


def packed(sent: Sent, coding: str, pack: Callable[[bytes], bytes]) -> Sent:
    return pack(sent[0]), {**sent[1], "content-encoding": coding}


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def two_gzip_files(content: bytes) -> bytes:
    return gzip.compress(content[:100]) + gzip.compress(content[100:])


Part = tuple[str, str | None, bytes]
IMAGE: Part = ("image", "photo.jpg", PHOTO)
COUNTER: Part = ("counter", None, b"csrnet")


def form(*parts: Part, encoded_name: bool = False) -> Sent:
    """Fields of a name, a file name and content."""
    body = b""
    for name, file_name, content in parts:
        named = f"filename*=utf-8''{file_name}" if encoded_name else f'filename="{file_name}"'
        of_file = f"; {named}\r\nContent-Type: application/octet-stream" if file_name else ""
        head = f'--x-y\r\nContent-Disposition: form-data; name="{name}"{of_file}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + b"--x-y--\r\n", {"content-type": 'multipart/form-data; boundary="x-y"'}


BINARY = binary_body([PHOTO])
OF_OPENAI = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{TEXT}"}}
SHARED = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"shared_memory_region": "a"}}
IN_SHARED_MEMORY = json.dumps({"inputs": [SHARED]}).encode(), JSON


def asking(output: str, binary: Any) -> Sent:
    """A request for one output, in binary or not."""
    return json.dumps(
        json_body(PHOTO, outputs=[{"name": output, "parameters": {"binary_data": binary}}])
    ).encode(), JSON


FORMS: dict[str, tuple[str, Sent]] = {
    "gzip": (V2, packed(v2([TEXT]), "gzip", gzip.compress)),
    "gzip in capitals": (V2, packed(v2([TEXT]), "GZIP", gzip.compress)),
    "x-gzip": (V2, packed(v2([TEXT]), "x-gzip", gzip.compress)),
    "gzip files in a row": (V2, packed(v2([TEXT]), "gzip", two_gzip_files)),
    "deflate in zlib's format": (V2, packed(v2([TEXT]), "deflate", zlib.compress)),
    "deflate without a format": (V2, packed(v2([TEXT]), "deflate", raw_deflate)),
    "identity": (V2, packed(v2([TEXT]), "identity", bytes)),
    "gzip of identity": (V2, packed(v2([TEXT]), "identity, gzip", gzip.compress)),
    "gzip with binary tensors": (V2, packed(BINARY, "gzip", gzip.compress)),
    "deflate with binary tensors": (V2, packed(BINARY, "deflate", zlib.compress)),
    "gzip of a photo": (V2, packed((PHOTO, {"content-type": "image/jpeg"}), "gzip", gzip.compress)),
    "gzip in v1": (V1, packed(v1({"image_bytes": {"b64": TEXT}}), "gzip", gzip.compress)),
    "curl --data-binary": (V2, (PHOTO, FORM)),
    "JSON as curl -d sends it": (V2, (v2([TEXT])[0], FORM)),
    "JSON without a type": (V2, (v2([TEXT])[0], {})),
    "photo without a type": (V2, (PHOTO, {})),
    "photo as octets": (V2, (PHOTO, OCTETS)),
    "photo as image/jpeg": (V2, (PHOTO, {"content-type": "image/jpeg"})),
    "photo as image/jpg with a parameter": (V2, (PHOTO, {"content-type": "Image/JPG; charset=binary"})),
    "photo as image/*": (V2, (PHOTO, {"content-type": "image/*"})),
    "PNG as image/jpeg": (V2, (gray_photo(), {"content-type": "image/jpeg"})),
    "raw form of Triton": (V2, (PHOTO, RAW)),
    "form": (V2, form(IMAGE)),
    "form with a parameter before": (V2, form(COUNTER, IMAGE)),
    "form with a parameter behind": (V2, form(("file", "a b.jpeg", PHOTO), COUNTER)),
    "form with an encoded file name": (V2, form(("image", "photo", PHOTO), encoded_name=True)),
    "form to v1": (V1, form(("data", "photo", PHOTO))),
    "gzip of a form": (V2, packed(form(IMAGE), "gzip", gzip.compress)),
    "photo by version": (V2.replace("/infer", "/versions/0.2.0/infer"), (PHOTO, {"content-type": "image/jpeg"})),
    "photo to v1": (V1, (PHOTO, {"content-type": "image/jpeg"})),
    "raw form to v1": (V1, (PHOTO, RAW)),
    "two slashes at the start": ("/" + V2, v2([TEXT])),
    "two slashes between": (V2.replace("/infer", "//infer"), (PHOTO, OCTETS)),
    "two slashes at the start in v1": ("/" + V1, v1(TEXT)),
    "shape of the metadata": (V2, (v2([TEXT])[0].replace(b"[1]", b"[-1, 1]"), JSON)),
    "parameters that are null": (V2, (v2([TEXT])[0].replace(b"{", b'{"parameters": {"counter": null}, ', 1), JSON)),
    "a slash at the end": (V2 + "/", v2([TEXT])),
    "a slash at the end in v1": (V1 + "/", v1(TEXT)),
    "mark of a text from Windows": (V2, (b"\xef\xbb\xbf" + v2([TEXT])[0], JSON)),
    "mark in v1": (V1, (b"\xef\xbb\xbf" + v1(TEXT)[0], JSON)),
    "OpenAI's object": (V2, v2([OF_OPENAI])),
    "OpenAI's object in v1": (V1, v1(OF_OPENAI)),
    "form with flags": (V2, form(IMAGE, ("binary_data_output", None, b"false"), ("heatmap", None, b"0"))),
    "form with a field left empty": (V2, form(IMAGE, ("counter", None, b""), ("zones", None, b" "))),
    "text without a list": (V2, v2(TEXT)),
    "text in a list in a list": (V2, v2([[TEXT]])),
    "data URL": (V2, v2([f"data:image/jpeg;base64,{TEXT}"])),
    "data URL without a type": (V2, v2([f"data:;base64,{TEXT}"])),
    "data URL with a parameter": (V2, v2([f"DATA:image/jpeg;name=a.jpg;BASE64,{TEXT}"])),
    "data URL in v1": (V1, v1({"image_bytes": {"b64": f"data:image/jpeg;base64,{TEXT}"}})),
    "URL-safe alphabet": (V2, v2([base64.urlsafe_b64encode(PHOTO).decode()])),
    "no padding": (V2, v2([TEXT.rstrip("=")])),
    "URL-safe without padding": (V2, v2([base64.urlsafe_b64encode(PHOTO).decode().rstrip("=")])),
    "lines": (V2, v2([base64.encodebytes(PHOTO).decode()])),
    "lines of Windows, indented": (V2, v2(["  " + base64.encodebytes(PHOTO).decode().replace("\n", "\r\n\t ")])),
    "query of a gateway": (f"{V2}?key=a&key=b&counter=csrnet", (PHOTO, OCTETS)),
    "v1: other keys": (V1, v1({"image_bytes": {"b64": TEXT}, "camera": 7, "tags": ["a"], "place": {"lat": 1.5}})),
    "v1: b64": (V1, v1({"b64": TEXT})),
    "v1: b64 with other keys": (V1, v1({"b64": TEXT, "key": "7"})),
    "v1: image": (V1, v1({"image": {"b64": TEXT}})),
    "v1: any other name": (V1, v1({"input_1": {"b64": TEXT}, "id": "a"})),
    "v1: text under image": (V1, v1({"image": TEXT, "id": "a"})),
    "v1: text under data": (V1, v1({"data": TEXT})),
    "v1: text alone": (V1, v1(TEXT)),
    "v1: picture and mask": (V1, v1({"mask": {"b64": "AAAA"}, "image": {"b64": TEXT}})),
    "v1: picture and a text called data": (V1, v1({"image": {"b64": TEXT}, "data": "of yesterday"})),
}


def count_of(response: httpx.Response) -> float:
    """The count in an answer of v1 or v2."""
    assert response.status_code == 200, response.text
    message = response.json()
    if "predictions" in message:
        return float(message["predictions"][0]["count"])
    return float(next(output["data"][0] for output in message["outputs"] if output["name"] == "count"))


@pytest.mark.parametrize("form", FORMS)
def test_photo_is_counted_in_every_form(client: httpx.Client, small_service: EmbeddedService, form: str) -> None:
    path, (content, headers) = FORMS[form]
    response = client.post(small_service.http_url + path, content=content, headers=headers)
    assert count_of(response) == pytest.approx(expected_count(), rel=1e-5)


@pytest.mark.parametrize("sent", [(V2, (PHOTO, OCTETS)), (V2, v2([TEXT])), (V1, v1(TEXT)), (V2, form(IMAGE))])
def test_parameters_may_be_in_the_query(
    client: httpx.Client, small_service: EmbeddedService, sent: tuple[str, Sent]
) -> None:
    path, (content, headers) = sent
    query = {"counter": "ssdcnet", "route": "dense", "zones": '[{"name":"all","polygon":[[0,0],[1,0],[1,1],[0,1]]}]'}
    response = client.post(small_service.http_url + path, content=content, headers=headers, params=query)
    assert response.status_code == 200, response.text
    assert all(word in response.text for word in ("count_ssdcnet", "dense", "zone_counts"))
    assert "count_csrnet" not in response.text


@pytest.mark.parametrize("said", [False, "false", "0"])
def test_an_output_is_in_binary_only_if_that_is_said(
    client: httpx.Client, small_service: EmbeddedService, said: Any
) -> None:
    content, headers = asking("count", said)
    response = client.post(small_service.http_url + V2, content=content, headers=headers)
    assert count_of(response) == pytest.approx(expected_count(), rel=1e-5)


SHORT = gzip.compress(v2([TEXT])[0])
TWICE = base64.b64encode(TEXT.encode()).decode()
REFUSED: dict[str, tuple[str, Sent, int, str]] = {
    "query with another counter": (f"{V2}?counter=mcnn", (PHOTO, OCTETS), 400, "parameter 'counter' is 'mcnn'"),
    "query with a flag alone": (f"{V2}?density", (PHOTO, OCTETS), 400, "parameter 'density' is ''; expected true or"),
    "query with two routes": (f"{V1}?route=dense&route=sparse", v1(TEXT), 400, "'route' is in the query twice"),
    "query and form": (f"{V2}?counter=csrnet", form(IMAGE, COUNTER), 400, "'counter' is in the query and in the body"),
    "v1 at v2's address": (V2, v1(TEXT), 400, "send it to /v1/models/crowdserve:predict"),
    "v2 at v1's address": (V1, v2([TEXT]), 400, "send it to /v2/models/crowdserve/infer"),
    "address of a photo": (V2, v2(["https://example.com/a.jpg"]), 400, "the service fetches nothing"),
    "shared memory": (V2, IN_SHARED_MEMORY, 400, "in shared memory, which this service does not read"),
    "JSON without inputs": (V2, (b'{"image": "AAAA"}', JSON), 400, 'as in {"inputs": [{"name": "image"'),
    "bytes as numbers": (V2, v2(list(range(99))), 400, "a BYTES element is a number; expected a text: the bytes"),
    "a picture that is null": (V2, v2([None]), 400, "a BYTES element is null; expected a text"),
    "counter beside the inputs": (
        V2,
        (v2([TEXT])[0].replace(b"{", b'{"counter": "average", ', 1), JSON),
        400,
        "'counter' stands beside 'inputs'; send it in 'parameters' there",
    ),
    "another verb of v1": (V1.replace("predict", "explain"), v1(TEXT), 404, "/v1/models/NAME:predict"),
    "another path": ("/predict", (PHOTO, OCTETS), 404, "photos are sent to POST /v2/models/NAME/infer"),
    "name of a file": (V2, (b"photo.jpg", OCTETS), 400, "the name of a file: send the file itself"),
    "form with a flag that is none": (V2, form(IMAGE, ("density", None, b"maybe")), 400, "expected true or false"),
    "binary by a word": (V2, asking("count", "yes"), 400, "'binary_data' is 'yes'; expected true or false"),
    "brotli": (V2, (b"x", {"content-encoding": "br"}), 415, "'br' is not supported"),
    "zstandard": (V1, (b"x", {"content-encoding": "zstd"}), 415, "with one of gzip, deflate"),
    "gzip twice": (V2, (gzip.compress(SHORT), {"content-encoding": "gzip, gzip"}), 415, "'gzip, gzip' is not"),
    "half a gzip file": (V2, (SHORT[:-20], {**JSON, "content-encoding": "gzip"}), 400, "gzip body ends early"),
    "gzip without its end": (V2, (SHORT[:-8], {**JSON, "content-encoding": "gzip"}), 400, "gzip body ends early"),
    "nothing as gzip": (V2, (b"", {**JSON, "content-encoding": "gzip"}), 400, "gzip body ends early"),
    "rubbish after gzip": (V2, (SHORT + b"\0" * 9, {**JSON, "content-encoding": "gzip"}), 400, "follow the end"),
    "JSON as gzip": (V2, packed(v2([TEXT]), "gzip", bytes), 400, "the body is not gzip"),
    "gzip with a wrong sum": (
        V2,
        (SHORT[:-8] + bytes(8), {**JSON, "content-encoding": "gzip"}),
        400,
        "the body is not gzip",
    ),
    "gzip as deflate": (V2, packed(v2([TEXT]), "deflate", gzip.compress), 400, "the body is not deflate"),
    "gzip that nobody announced": (V2, (SHORT, JSON), 400, "the body is not JSON"),
    "mixed parts": (
        V2,
        (b"--x\r\n\r\n", {"content-type": "multipart/mixed; boundary=x"}),
        415,
        "--data-binary @photo.jpg",
    ),
    "parts to v1": (V1, (b"--x\r\n\r\n", {"content-type": "multipart/related; boundary=x"}), 415, "or in a form"),
    "form without a boundary": (V2, (form(IMAGE)[0], {"content-type": "multipart/form-data"}), 400, "cannot be read"),
    "form that is none": (V2, (PHOTO, form()[1]), 400, "the form cannot be read"),
    "half a form": (V2, (form(IMAGE)[0][:-200], form()[1]), 400, "the form ends early"),
    "form without a file": (V2, form(COUNTER), 400, "has no file; expected what curl --form image=@photo.jpg"),
    "form without anything": (V1, (b"--x-y--\r\n", form()[1]), 400, "has no file"),
    "form with an odd parameter": (V2, form(IMAGE, ("weather", None, b"rain")), 400, "weather"),
    "form with a photo as text": (V2, form(("image", None, b"\xff\xd8\xff\xe0")), 400, "a photo needs a file name"),
    "form of a text": (V2, form(("image", "a.txt", b"hello")), 400, "are a text: send a photo"),
    "form of many files": (V2, form(*[IMAGE] * 17), 413, "17 images in one request; the limit is 16"),
    "form of many fields": (V1, form(IMAGE, *[(f"f{n}", None, b"1") for n in range(99)]), 400, "has 100 parts"),
    "photo as JSON": (V2, (PHOTO, JSON), 400, "one that is a photo a Content-Type such as image/jpeg"),
    "no photo": (V2, (b"hello", {"content-type": "image/png"}), 400, "are a text: send a photo"),
    "nothing": (V2, (b"", {}), 400, "the body is empty; send a photo"),
    "nothing as image/png": (V2, (b"", {"content-type": "image/png"}), 400, "empty"),
    "base64 as a photo": (V2, (TEXT.encode(), {"content-type": "image/jpeg"}), 400, "base64 text of a JPEG"),
    "lines of base64 as octets": (V2, (base64.encodebytes(PHOTO), OCTETS), 400, "base64 text of a JPEG"),
    "base64 in a binary tensor": (V2, binary_body([TEXT.encode()]), 400, "base64 text of a JPEG"),
    "data URL in a binary tensor": (
        V2,
        binary_body([b"data:image/jpeg;base64," + TEXT.encode()]),
        400,
        "a data URL: send what follows its comma, decoded",
    ),
    "base64 of base64": (V2, v2([TWICE]), 400, "base64 text of a JPEG"),
    "data URL of text": (V2, v2(["data:image/svg+xml,%3Csvg"]), 400, "a data: URL whose content is not ;base64,"),
    "characters short": (V2, v2(["AAAAA"]), 400, "characters are missing"),
    "v1: no picture": (V1, v1({"camera": 7}), 400, "instance 1 does not have the form"),
    "v1: two pictures": (V1, v1({"a": {"b64": TEXT}, "b": {"b64": TEXT}}), 400, "instance 1 does not have the form"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_refusal_names_what_came(client: httpx.Client, small_service: EmbeddedService, form: str) -> None:
    path, (content, headers), status, message = REFUSED[form]
    response = client.post(small_service.http_url + path, content=content, headers=headers)
    assert response.status_code == status, response.text
    assert message in response.json()["error"]
    encodings = response.headers.get("accept-encoding")
    assert encodings == ("gzip, deflate" if "content-encoding" in headers and status == 415 else None)


def test_two_photos_in_v1_keep_their_order(client: httpx.Client, small_service: EmbeddedService) -> None:
    dark = base64.b64encode(gray_photo(50)).decode()
    body = {"instances": [{"b64": TEXT}, {"image": {"b64": dark}, "name": "dark"}]}
    predictions = client.post(small_service.http_url + V1, json=body).json()["predictions"]
    assert [each["count"] for each in predictions] == pytest.approx([expected_count(200), expected_count(50)], rel=1e-5)


def test_files_of_a_form_keep_their_order_and_its_fields_are_parameters(
    client: httpx.Client, small_service: EmbeddedService
) -> None:
    content, headers = form(IMAGE, ("route", None, b"sparse"), ("image", "dark.png", gray_photo(50)))
    for path in (V1, V2):
        message = client.post(small_service.http_url + path, content=content, headers=headers).json()
        if path == V1:
            found = [(each["count"], each["route"]) for each in message["predictions"]]
        else:
            outputs = {output["name"]: output["data"] for output in message["outputs"]}
            found = list(zip(outputs["count"], outputs["route"], strict=True))
        assert [route for _, route in found] == ["sparse"] * 2
        bright, dark = (count for count, _ in found)
        assert bright == pytest.approx(4 * dark, rel=1e-5)


def test_request_id_and_time_limit_go_with_a_photo(client: httpx.Client, small_service: EmbeddedService) -> None:
    headers = {"content-type": "image/jpeg", "x-request-id": "of-the-camera"}
    response = client.post(small_service.http_url + V2, content=PHOTO, headers=headers)
    assert response.json()["id"] == response.headers["x-request-id"] == "of-the-camera"
    late = client.post(
        small_service.http_url + V2, content=PHOTO, headers={**headers, "x-request-timeout-seconds": "0.000001"}
    )
    assert late.status_code == 408


def test_many_requests_may_share_an_id(small_service: EmbeddedService) -> None:
    def count(_: int) -> float:
        body = json_body(PHOTO, id="shared")
        return count_of(httpx.post(small_service.http_url + V2, json=body, timeout=120, trust_env=False))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(count, range(16))) == pytest.approx([expected_count()] * 16, rel=1e-5)
