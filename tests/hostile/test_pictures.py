"""Files made to take memory or time, sent to the real service."""

import struct
import zlib
from collections.abc import Callable
from functools import cache

import httpx
import pytest
from PIL import Image

from benchmarks.worst_pictures import progressive_jpeg, run_length_bmp
from crowdserve.local.service import EmbeddedService
from tests.support.photos import encoded, expected_count, gray_photo
from tests.support.requests import TIMEOUT_SECONDS, binary_body

QUICK_SECONDS = 8.0


def post(service: EmbeddedService, *files: bytes) -> httpx.Response:
    body, headers = binary_body(list(files))
    url = f"{service.http_url}/v2/models/crowdserve/infer"
    return httpx.post(url, content=body, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)


def png_of(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of some chunks; its header says 8-bit RGB."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    written = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"IHDR", head), *chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + written


def text_bomb() -> bytes:
    """A PNG whose compressed texts would unpack to 120 MB each."""
    text = b"Comment\0\0" + zlib.compress(bytes(120_000_000), 9)
    return png_of(64, 64, *[(b"zTXt", text)] * 4, (b"IDAT", zlib.compress(bytes(64 * (1 + 64 * 3)))))


def many_tags() -> bytes:
    """A TIFF whose directory says that it has millions of values."""
    entries = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (273, 4, 250_000_000, 8), (279, 4, 250_000_000, 8)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + bytes(4096)


def webp_of(kind: bytes, content: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


BOMBS: dict[str, Callable[[], bytes]] = {
    "600 scans": lambda: progressive_jpeg((7000, 7000), 600),
    "PNG of 4 gigapixels": lambda: png_of(65535, 65535, (b"IDAT", zlib.compress(b"\0"))),
    "PNG with texts": text_bomb,
    "WebP header, VP8X": lambda: webp_of(b"VP8X", b"\x10\0\0\0" + b"\xff\xff\xff" * 2),
    "WebP header, VP8L": lambda: webp_of(b"VP8L", b"\x2f" + b"\xff\xff\xff\x0f" + bytes(64)),
    "WebP header, VP8": lambda: webp_of(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + b"\xff\x3f\xff\x3f" + bytes(64)),
    "TIFF with many tags": many_tags,
    "BMP of 12 megapixels in runs, cut": lambda: run_length_bmp((4000, 3000))[:-4000],
    "GIF cut": lambda: encoded(Image.new("P", (3000, 3000)), "GIF")[:-2000],
}


@cache
def bomb(name: str) -> bytes:
    return BOMBS[name]()


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_quickly(name: str, small_service: EmbeddedService) -> None:
    response = post(small_service, bomb(name))
    assert response.status_code in {400, 413}, response.text
    assert response.json()["error"]
    assert response.elapsed.total_seconds() < QUICK_SECONDS


def test_photo_is_counted_after_all_of_them(small_service: EmbeddedService) -> None:
    for name in BOMBS:
        post(small_service, bomb(name))
    response = post(small_service, gray_photo())
    assert response.json()["outputs"][0]["data"] == pytest.approx([expected_count()], rel=1e-3)


def test_bad_image_of_a_batch_is_named(small_service: EmbeddedService) -> None:
    response = post(small_service, gray_photo(), bomb("600 scans"))
    assert response.status_code == 413
    assert "image 2 of 2" in response.json()["error"]
    assert "600 scans" in response.json()["error"]
