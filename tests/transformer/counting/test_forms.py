"""Image inputs of the running service: JSON, the binary extension, v1, every image format."""

import base64
import json
import re

import httpx
import numpy as np
import pytest
from PIL import Image

from crowdserve.local.service import EmbeddedService
from tests.support.photos import encoded, expected_count, gray_photo
from tests.support.requests import binary_body, infer, json_body, outputs_of

pytestmark = pytest.mark.e2e


def gray_image(mode: str) -> Image.Image:
    return Image.new("RGB", (96, 80), (200,) * 3).convert(mode)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.new("RGB", (80, 200), (200,) * 3), "JPEG", exif=exif)


def test_pixels_in_json(client: httpx.Client, infer_url: str) -> None:
    pixels = np.full((1, 16, 24, 3), 200)
    for data in (pixels.ravel().tolist(), pixels.tolist()):
        image = {"name": "image", "datatype": "UINT8", "shape": [1, 16, 24, 3], "data": data}
        outputs = outputs_of(client.post(infer_url, json={"inputs": [image]}))
        assert outputs["count"] == pytest.approx([expected_count(200, 24, 16)], rel=1e-5)


@pytest.mark.parametrize("in_binary", [True, False])
def test_binary_extension(client: httpx.Client, infer_url: str, in_binary: bool) -> None:
    pixels = np.full((2, 80, 96, 3), 200, np.uint8)
    for images in (pixels, [gray_photo(), gray_photo(file_format="BMP")]):
        body, headers = binary_body(images, parameters={"binary_data_output": in_binary})
        response = client.post(infer_url, content=body, headers=headers)
        assert response.status_code == 200, response.text
        length = int(response.headers.get("inference-header-content-length", len(response.content)))
        assert (length < len(response.content)) is in_binary
        described = {o["name"]: o for o in json.loads(response.content[:length])["outputs"]}
        counts = described["count"]
        assert counts["shape"] == [2]
        found = np.frombuffer(response.content[length : length + 8], "<f4") if in_binary else counts["data"]
        assert found == pytest.approx([expected_count()] * 2, rel=1e-5)


def test_v1_predictions(client: httpx.Client, small_service: EmbeddedService) -> None:
    instances = [{"image_bytes": {"b64": base64.b64encode(gray_photo(value)).decode()}} for value in (200, 60)]
    body = {"instances": instances, "parameters": {"counter": "average", "density": True, "heatmap": True}}
    response = client.post(f"{small_service.http_url}/v1/models/crowdserve:predict", json=body)
    assert response.status_code == 200, response.text
    dense, sparse = response.json()["predictions"]
    expected = expected_count(200, counter="average"), expected_count(60, counter="average")
    assert (dense["count"], sparse["count"]) == pytest.approx(expected, rel=1e-5)
    assert (dense["scene"], sparse["scene"]) == ("dense", "sparse")
    assert {"csrnet_a", "ssdcnet_sha"} < set(dense["models"])
    assert {"csrnet_b", "ssdcnet_shb"} < set(sparse["models"])
    assert np.shape(dense["density"]) == (10, 12)
    assert base64.b64decode(sparse["heatmap"]["b64"]).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(encoded(gray_image("RGB"), "JPEG"), id="jpeg"),
        pytest.param(encoded(gray_image("RGB"), "JPEG", progressive=True), id="progressive"),
        pytest.param(encoded(gray_image("L"), "JPEG"), id="grayscale"),
        pytest.param(encoded(gray_image("CMYK"), "JPEG"), id="cmyk"),
        pytest.param(encoded(gray_image("P"), "PNG"), id="palette"),
        pytest.param(encoded(gray_image("P"), "GIF"), id="gif"),
        pytest.param(encoded(gray_image("RGBA"), "PNG"), id="alpha"),
        pytest.param(encoded(gray_image("LA"), "PNG"), id="grayscale-alpha"),
        pytest.param(encoded(Image.fromarray(np.full((80, 96), 200 * 257, np.uint16)), "PNG"), id="16-bit"),
        pytest.param(encoded(gray_image("RGB"), "WEBP"), id="webp"),
        pytest.param(encoded(gray_image("RGB"), "TIFF"), id="tiff"),
    ],
)
def test_every_image_format_gives_the_same_count(infer_url: str, file: bytes) -> None:
    assert infer(infer_url, file)["count"] == pytest.approx([expected_count()], rel=0.02)


def test_exif_rotation_is_applied(client: httpx.Client, infer_url: str) -> None:
    response = client.post(infer_url, json=json_body(turned(), outputs=[{"name": "density"}])).json()
    (density,) = response["outputs"]
    assert density["shape"] == [1, 80 // 8, 200 // 8]


@pytest.mark.parametrize(
    ("file", "status", "message"),
    [
        (b"", 400, "empty"),
        (b"not an image", 400, "12 bytes are a text"),
        (encoded(gray_image("RGB"), "JPEG")[:300], 400, "send the complete file"),
        (encoded(gray_image("RGB"), "PNG")[:60], 400, "send the complete file"),
        (encoded(Image.new("1", (12_000, 12_000)), "PNG"), 413, "12000x12000 px.*scale it down"),
    ],
)
def test_invalid_image_is_refused(client: httpx.Client, infer_url: str, file: bytes, status: int, message: str) -> None:
    response = client.post(infer_url, json=json_body(file))
    assert response.status_code == status
    assert httpx.codes.is_client_error(response.status_code)
    (error,) = response.json().items()
    assert error[0] == "error"
    assert re.search(message, error[1])
    second = client.post(infer_url, json=json_body(gray_photo(), file)).json()["error"]
    assert second == f"image 2 of 2: {error[1]}"
