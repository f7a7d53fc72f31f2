"""Colour spaces without a profile: code points of PNG, AVIF and HEIC, Exif, and a PNG's primaries and gamma."""

import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from crowdserve.images import decode_image
from crowdserve.images.colour_spaces import ADOBE_RGB as SPACE_ADOBE_RGB
from crowdserve.images.colour_spaces import matrix_profile
from crowdserve.images.profiles import srgb_transform, to_srgb
from tests.images.test_profiles import PICTURE, difference, in_space
from tests.support.photos import encoded
from tools.files.icc import ADOBE_RGB, DISPLAY_P3, SRGB, rgb_profile

P3_CODES, SRGB_CODES = (12, 13), (1, 13)
UNKNOWN_CODES = (2, 2)


def with_chunks(png: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with more chunks behind its header."""
    made = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return png[:33] + made + png[33:]


def cicp(codes: tuple[int, int]) -> tuple[bytes, bytes]:
    return b"cICP", bytes([*codes, 0, 1])


def with_nclx(file: bytes, codes: tuple[int, int]) -> bytes:
    """An AVIF or HEIC whose colour box has these code points."""
    at = file.index(b"colrnclx") + 8
    return file[:at] + struct.pack(">HH", *codes) + file[at + 4 :]


def bare(name: str) -> Image.Image:
    """The picture in a space that its file will not name."""
    image = in_space(rgb_profile(name))
    image.info.clear()
    return image


def wide() -> Image.Image:
    return bare(DISPLAY_P3)


def test_code_points_of_a_png_say_its_colours() -> None:
    plain = encoded(wide(), "PNG")
    assert difference(decode_image(plain)) > 2
    assert difference(decode_image(with_chunks(plain, cicp(P3_CODES)))) < 1
    for codes in (SRGB_CODES, UNKNOWN_CODES):
        np.testing.assert_array_equal(decode_image(with_chunks(plain, cicp(codes))), decode_image(plain))


def test_code_points_of_a_png_come_before_its_profile() -> None:
    both = with_chunks(encoded(wide(), "PNG", icc_profile=rgb_profile(SRGB)), cicp(P3_CODES))
    assert difference(decode_image(both)) < 1
    unknown = with_chunks(encoded(wide(), "PNG", icc_profile=rgb_profile(DISPLAY_P3)), cicp(UNKNOWN_CODES))
    assert difference(decode_image(unknown)) < 1


@pytest.mark.parametrize("file_format", ["AVIF", "HEIF"])
def test_code_points_of_boxes_say_the_colours(file_format: str) -> None:
    options = {"AVIF": {"subsampling": "4:4:4"}, "HEIF": {"chroma": 444}}[file_format]
    file = encoded(wide(), file_format, quality=95, **options)
    assert difference(decode_image(with_nclx(file, SRGB_CODES))) > 2.7
    assert difference(decode_image(with_nclx(file, P3_CODES))) < 2.5


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
@pytest.mark.parametrize("way", ["colour space", "name"])
def test_adobe_rgb_is_recognised_by_exif_alone(file_format: str, way: str) -> None:
    exif = Image.Exif()
    if way == "colour space":
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 2
    else:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 0xFFFF
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: "R03"}
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(file_format, {})
    adobe = bare(ADOBE_RGB)
    assert difference(decode_image(encoded(adobe, file_format, **options))) > 3
    assert difference(decode_image(encoded(adobe, file_format, exif=exif, **options))) < 2.5


def test_primaries_and_gamma_of_a_png_say_its_colours() -> None:
    points = [31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000]
    primaries, gamma = (b"cHRM", struct.pack(">8I", *points)), (b"gAMA", struct.pack(">I", 45470))
    adobe = encoded(bare(ADOBE_RGB), "PNG")
    assert difference(decode_image(with_chunks(adobe, primaries, gamma))) < 2
    linear = (np.asarray(PICTURE, float) / 255) ** 2.2 * 255
    dark = encoded(Image.fromarray(np.rint(linear).astype(np.uint8)), "PNG")
    assert difference(decode_image(with_chunks(dark, (b"gAMA", struct.pack(">I", 100_000))))) < 6
    plain = encoded(PICTURE, "PNG")
    usual = with_chunks(plain, (b"gAMA", struct.pack(">I", 45455)))
    broken = with_chunks(plain, (b"cHRM", bytes(32)))
    said = with_chunks(plain, (b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000)))
    for file in (usual, broken, said):
        np.testing.assert_array_equal(decode_image(file), np.asarray(PICTURE))


IMPOSSIBLE = {
    "one point": [31270, 32900, *[30000, 60000] * 3],
    "one line": [31270, 32900, 64000, 33000, 30000, 60000, 47000, 46500],
    "next to one line": [50000, 0x7FFFFFFF, 50000, 50000, 1, 1, 0x7FFFFFFF, 0x7FFFFFFF],
    "tiny": [31270, 32900, 1, 2, 3, 1, 2, 2],
    "white beside them": [31270, 32900, 64000, 33000, 60000, 34000, 62000, 30000],
    "white without blue": [1, 99999, 64000, 33000, 30000, 60000, 15000, 6000],
}


@pytest.mark.parametrize("points", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_primaries_are_passed_over(points: list[int]) -> None:
    file = with_chunks(encoded(PICTURE, "PNG"), (b"cHRM", struct.pack(">8I", *points)))
    np.testing.assert_array_equal(decode_image(file), np.asarray(PICTURE))


@pytest.mark.parametrize("gamma", [0, 1, 9_999, 1_000_001, 2**32 - 1])
def test_impossible_gammas_are_passed_over(gamma: int) -> None:
    file = with_chunks(encoded(PICTURE, "PNG"), (b"gAMA", struct.pack(">I", gamma)))
    np.testing.assert_array_equal(decode_image(file), np.asarray(PICTURE))


@pytest.mark.parametrize("transfer", [16, 18])
def test_a_white_page_of_high_dynamic_range_is_white(transfer: int) -> None:
    """203 cd/m2 is 58 % of the signal of PQ and 75 % of HLG's; what is brighter cannot be."""
    page = {16: 0.5807, 18: 0.75}[transfer]
    levels = np.rint(np.array([0.0, page, 1.0]) * 255).astype(np.uint8)
    greys = Image.fromarray(np.repeat(levels[np.newaxis, :, np.newaxis], 3, axis=2))
    found = decode_image(with_chunks(encoded(greys, "PNG"), cicp((9, transfer))))
    assert found[0, 0].max() <= 2
    assert found[0, 1].min() >= 250
    assert found[0, 2].min() >= 253


def test_the_profile_of_a_space_is_like_the_one_that_others_wrote() -> None:
    adobe = bare(ADOBE_RGB)
    ours, theirs = (
        to_srgb(adobe, srgb_transform(profile, "RGB"))
        for profile in (matrix_profile(SPACE_ADOBE_RGB), rgb_profile(ADOBE_RGB))
    )
    assert difference(np.asarray(ours), theirs) < 0.5
