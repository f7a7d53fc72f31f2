"""JPEG headers that would cost a decoder seconds before the first pixel."""

import io

import pytest
from PIL import Image

from crowdserve.errors import ImageTooLarge
from crowdserve.images.files import opened

LONG = b"\xff\xff"


def jpeg(header: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), "grey").save(buffer, "JPEG")
    return b"".join([buffer.getvalue()[:2], header, buffer.getvalue()[2:]])


@pytest.mark.parametrize(
    "header",
    [
        b"\xff\xe5\0\2" * 5000,
        b"\xff\xdb\0\x43\0" + bytes([1]) * 64 + b"\xff\xfe\0\6abcd" * 5000,
        (b"\xff\xe1" + LONG + b"Exif\0\0" + bytes(65527)) * 65,
        (b"\xff\xe5" + LONG + bytes(65533)) * 321,
        b"\xff" * 70_000,
        b"\xff\xe5\0\2" + bytes(70_000),
    ],
    ids=["short segments", "comments", "Exif", "bytes", "fill", "gaps"],
)
def test_headers_longer_than_any_photo_has(header: bytes) -> None:
    with pytest.raises(ImageTooLarge, match="longer header"), opened(jpeg(header)):
        pass


def test_segments_between_scans_count_too() -> None:
    whole = jpeg(b"")
    scan = whole.index(b"\xff\xda")
    with (
        pytest.raises(ImageTooLarge, match="longer header"),
        opened(whole[:-2] + whole[scan:-2] + b"\xff\xe5\0\2" * 5000),
    ):
        pass


def test_long_headers_of_real_files() -> None:
    """A profile of 255 segments, a picture in XMP of 2 MB, and a camera that fills a sector."""
    profile = b"".join(b"\xff\xe2" + LONG + b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(65519) for n in range(1, 256))
    name = b"http://ns.adobe.com/xmp/extension/\0"
    xmp = (b"\xff\xe1" + LONG + name + bytes(65533 - len(name))) * 32
    with opened(jpeg(profile + xmp + b"\xff" * 4096)) as image:
        assert image.file.size == (32, 24)
