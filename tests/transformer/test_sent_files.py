"""What people really send, through the whole service: each kind of file is counted, or named for what it is."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx
import numpy as np
import pytest
from PIL import Image

from crowdserve.images import FORMATS
from tests.support.photos import encoded, expected_count, gray_photo
from tests.support.requests import binary_body, outputs_of
from tools.files.tiff import SMALL_COPY, TiffPage, grey_page, tiff_file

GREY = 200
WIDTH, HEIGHT = 96, 80
PART = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
PLAIN = gray_photo(GREY, WIDTH, HEIGHT, "JPEG")


@dataclass(frozen=True)
class Sent:
    """A file, made when its test runs, and the size of the photo in it as the networks see it."""

    make: Callable[[], bytes]
    size: tuple[int, int] = (WIDTH, HEIGHT)


def huge(width: int, height: int) -> Callable[[], bytes]:
    """A grey JPEG of a phone's pixels."""
    return lambda: encoded(Image.new("L", (width, height), GREY), "JPEG")


def said_to_have(width: int, height: int, file: bytes) -> bytes:
    """A JPEG whose header says that it is larger."""
    frame = next(at for marker in (b"\xff\xc0", b"\xff\xc2") if (at := file.find(marker)) >= 0)
    return file[: frame + 5] + struct.pack(">HH", height, width) + file[frame + 9 :]


def thumbnail_first() -> bytes:
    copy = np.full((8, 10, 3), 10, np.uint8)
    photo = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    return tiff_file(TiffPage(copy, tags={254: ("I", [SMALL_COPY])}, below=[TiffPage(photo)]))


def twelve_bits() -> bytes:
    values = np.full((HEIGHT, WIDTH), GREY * 4095 // 255)
    return tiff_file(grey_page(values, smin=0, smax=4095))


COUNTED: Mapping[str, Sent] = {
    **{name: Sent(lambda name=name: gray_photo(GREY, WIDTH, HEIGHT, name)) for name in FORMATS},
    "50 megapixels of a phone": Sent(huge(8160, 6144), (2048, 1542)),
    "200 megapixels of a phone": Sent(huge(16320, 12240), (2048, 1536)),
    "TIFF behind its thumbnail": Sent(thumbnail_first),
    "12 bits of 16": Sent(twelve_bits),
    "JPEG without its end": Sent(lambda: PLAIN[:-2]),
    "frame of a camera": Sent(lambda: PART + PLAIN + b"\r\n" + PART),
    "JPEG with rubbish behind": Sent(lambda: PLAIN + b"rubbish" * 99),
}

REFUSED: Mapping[str, tuple[Callable[[], bytes], int, str]] = {
    "half a JPEG": (lambda: PLAIN[: len(PLAIN) // 2], 400, "the JPEG is truncated"),
    "progressive JPEG of 200 megapixels": (
        lambda: said_to_have(16320, 12240, gray_photo(file_format="JPEG", progressive=True)),
        413,
        "199,756,800 pixels; the limit is 64,000,000: scale it down, or save it as a baseline JPEG",
    ),
    "JPEG over all limits": (
        lambda: said_to_have(17000, 13000, PLAIN),
        413,
        "221,000,000 pixels; the limit is 220,000,000: scale it down",
    ),
    "MP4": (lambda: b"\0\0\0\x14ftypisom" + bytes(99), 400, "an MP4 video: extract frames"),
    "camera raw": (lambda: b"FUJIFILMCCD-RAW " + bytes(99), 400, "a camera raw file (Fujifilm RAF): export it as JPEG"),
    "page of an error": (lambda: b"<!DOCTYPE html><html>", 400, "an HTML page: what was saved is no photo"),
}


def post(client: httpx.Client, url: str, file: bytes) -> httpx.Response:
    body, headers = binary_body([file])
    return client.post(url, content=body, headers=headers)


@pytest.mark.parametrize("name", COUNTED)
def test_photo_is_counted(name: str, client: httpx.Client, infer_url: str) -> None:
    sent = COUNTED[name]
    found = outputs_of(post(client, infer_url, sent.make()))
    assert found["count"] == pytest.approx([expected_count(GREY, *sent.size)], rel=0.01)
    assert found["scene"] == ["dense"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_counted_is_named(name: str, client: httpx.Client, infer_url: str) -> None:
    make, status, message = REFUSED[name]
    response = post(client, infer_url, make())
    assert response.status_code == status
    assert message in response.json()["error"]
