"""Pages of a TIFF: the picture itself, not the small copy that stands first."""

import math
import struct

import numpy as np
import pytest

from crowdserve.errors import InvalidImage
from crowdserve.images import Rgb, decode_image
from crowdserve.images.formats.kinds import kind_of
from crowdserve.images.formats.signatures import TIFF
from crowdserve.images.formats.tiff import MAX_PAGES, pages
from tests.support.photos import encoded
from tools.files.tiff import BLACK_IS_ZERO, MASK, NEW_SUBFILE_TYPE, SMALL_COPY, SUB_DIRECTORIES, TiffPage, tiff_file

ORDERS = [("<", False), (">", False), ("<", True)]
"""Byte orders, and whether it is a BigTIFF."""


def picture(width: int, height: int, seed: int = 0) -> Rgb:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


PHOTO, COPY, MORE = picture(40, 30), picture(8, 6, 1), picture(40, 30, 2)
SECONDARY = {NEW_SUBFILE_TYPE: ("I", [SMALL_COPY])}

FILES = {
    "small copy first, without a word": (TiffPage(COPY), TiffPage(PHOTO)),
    "small copy first": (TiffPage(COPY, tags=SECONDARY), TiffPage(PHOTO)),
    "photo below the small copy": (TiffPage(COPY, tags=SECONDARY, below=[TiffPage(PHOTO)]),),
    "photo below, second": (TiffPage(COPY, below=[TiffPage(COPY), TiffPage(PHOTO)]),),
    "copy that is larger": (TiffPage(picture(80, 60), tags=SECONDARY), TiffPage(PHOTO)),
    "mask that is larger": (TiffPage(PHOTO), TiffPage(picture(80, 60), tags={NEW_SUBFILE_TYPE: ("I", [MASK])})),
    "copies of the old kind": (TiffPage(picture(80, 60), tags={255: ("H", [2])}), TiffPage(PHOTO)),
    "pages of equal size": (TiffPage(PHOTO), TiffPage(MORE)),
    "pyramid": (TiffPage(PHOTO), TiffPage(PHOTO[::2, ::2], tags=SECONDARY), TiffPage(COPY, tags=SECONDARY)),
    "one page, called a copy": (TiffPage(PHOTO, tags=SECONDARY),),
}


@pytest.mark.parametrize(("order", "big"), ORDERS)
@pytest.mark.parametrize("name", FILES)
def test_photo_is_decoded(name: str, order: str, big: bool) -> None:
    np.testing.assert_array_equal(decode_image(tiff_file(*FILES[name], order=order, big=big)), PHOTO)


def test_black_and_white_in_one_plane_need_not_say_their_bits() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (30, 5), dtype=np.uint8)
    tags = {256: ("I", [40]), 258: ("H", []), 284: ("H", [2])}
    found = decode_image(tiff_file(TiffPage(whole, BLACK_IS_ZERO, tags)))
    np.testing.assert_array_equal(found[..., 0], np.unpackbits(whole, axis=1) * 255)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_photo_behind_a_copy_is_decoded_by_a_library_too(compression: str) -> None:
    from PIL import Image

    copy, photo = Image.fromarray(COPY), Image.fromarray(PHOTO)
    data = encoded(copy, "TIFF", save_all=True, append_images=[photo], compression=compression)
    np.testing.assert_array_equal(decode_image(data), PHOTO)


def test_photo_that_is_stored_in_another_way_is_named_rather_than_its_copy_counted() -> None:
    odd = TiffPage(PHOTO, tags={258: ("H", [10, 10, 10])})
    with pytest.raises(InvalidImage, match="largest page, 40x30 px with 10 bits per sample, is stored in a way"):
        decode_image(tiff_file(TiffPage(COPY, tags=SECONDARY), odd))


@pytest.mark.parametrize(
    ("number", "name"), [(50001, "WebP"), (34712, "JPEG 2000"), (34887, "LERC"), (50002, "JPEG XL")]
)
def test_compression_that_is_not_decoded_is_named(number: int, name: str) -> None:
    with pytest.raises(InvalidImage, match=f"the TIFF is compressed as {name}, which is not decoded; save it as JPEG"):
        decode_image(tiff_file(TiffPage(PHOTO, tags={259: ("H", [number])})))


def test_big_endian_bigtiff_is_named() -> None:
    with pytest.raises(InvalidImage, match="the TIFF is a big-endian BigTIFF, which is not decoded; save it as JPEG"):
        decode_image(tiff_file(TiffPage(PHOTO), order=">", big=True))


def test_floats_that_are_not_decoded_are_named() -> None:
    floats = TiffPage(PHOTO.astype(np.float32), tags={339: ("H", [3, 3, 3])})
    with pytest.raises(InvalidImage, match=r"40x30 px with 32 bits per sample \(floats\), is stored in a way"):
        decode_image(tiff_file(floats))


@pytest.mark.parametrize("odd", [math.nan, math.inf])
@pytest.mark.parametrize("tag", [NEW_SUBFILE_TYPE, SUB_DIRECTORIES])
def test_entry_that_is_no_number_is_passed_over(tag: int, odd: float) -> None:
    data = tiff_file(TiffPage(PHOTO, tags={tag: ("f", [odd])}))
    assert [page.values.get(tag) for page in pages(data)] == [None]
    assert kind_of(data) is TIFF


def test_directories_in_a_circle_are_read_once() -> None:
    data = bytearray(tiff_file(TiffPage(COPY), TiffPage(PHOTO)))
    first = struct.unpack_from("<I", data, 4)[0]
    data[-4:] = struct.pack("<I", first)  # the last page is followed by the first
    assert len(pages(bytes(data))) == 2


def test_no_more_directories_are_read_than_a_photo_has() -> None:
    assert len(pages(tiff_file(*[TiffPage(COPY)] * (MAX_PAGES + 9)))) == MAX_PAGES


@pytest.mark.parametrize(("share", "left"), [(0.0, 0), (0.02, 0), (0.3, 1), (0.99, 1), (1.0, 2)])
def test_cut_files_have_the_pages_that_are_left(share: float, left: int) -> None:
    data = tiff_file(TiffPage(COPY), TiffPage(PHOTO))
    assert len(pages(data[: int(len(data) * share)])) == left
