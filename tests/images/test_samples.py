"""Samples of more than eight bits: what cameras and scanners write of 10, 12 and 14 bits must not become black."""

import base64
import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from crowdserve.errors import InvalidImage
from crowdserve.images import Rgb, decode_image
from tests.support.paths import PHOTO
from tests.support.photos import encoded
from tools.files.png import deep_png, opaque
from tools.files.tiff import (
    BLACK_IS_ZERO,
    RGB,
    SMAX_SAMPLE_VALUE,
    SMIN_SAMPLE_VALUE,
    WHITE_IS_ZERO,
    TiffPage,
    grey_page,
    tiff_file,
)

Values = npt.NDArray[Any]

with Image.open(PHOTO) as _file:
    COLOURS: Values = np.asarray(_file.convert("RGB").resize((96, 64))).astype(np.uint32)
    GREYS: Values = np.asarray(_file.convert("L").resize((96, 64))).astype(np.uint32)
COLOURS[0, 0], GREYS[0, 0] = 255, 255  # white somewhere, as in most photos


def difference(found: Rgb, expected: Values) -> float:
    three = expected if expected.ndim == 3 else np.repeat(expected[..., np.newaxis], 3, axis=2)
    return float(np.abs(found.astype(float) - three).max())


def deep(values: Values, bits: int) -> Values:
    return (values * (2**bits - 1) // 255).astype(np.uint16)


ONE_PLANE = {284: ("H", [2])}
GREY_FILES = {
    "PNG": lambda values: encoded(Image.fromarray(values), "PNG"),
    "TIFF": lambda values: tiff_file(grey_page(values)),
    "TIFF, big-endian": lambda values: tiff_file(grey_page(values), order=">"),
    "TIFF of one plane": lambda values: tiff_file(replace(grey_page(values), tags=ONE_PLANE)),
    "TIFF of one plane, big-endian": lambda values: tiff_file(replace(grey_page(values), tags=ONE_PLANE), order=">"),
    "TIFF, LZW": lambda values: encoded(Image.fromarray(values), "TIFF", compression="tiff_lzw"),
    "JPEG 2000": lambda values: encoded(Image.fromarray(values), "JPEG2000"),
    "TIFF of 32 bits": lambda values: encoded(Image.fromarray(values.astype(np.int32)), "TIFF"),
    "TIFF, default of an old tag": lambda values: tiff_file(grey_page(values, maximum=65535)),
}


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("name", GREY_FILES)
def test_greys_are_scaled_by_the_bits_that_they_use(name: str, bits: int) -> None:
    assert difference(decode_image(GREY_FILES[name](deep(GREYS, bits))), GREYS) <= 1


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_greys_whose_zero_is_white_are_turned_over(order: str, bits: int) -> None:
    values = (2**bits - 1 - deep(GREYS, bits)).astype(np.uint16)
    assert difference(decode_image(tiff_file(grey_page(values, WHITE_IS_ZERO), order=order)), GREYS) <= 1


@pytest.mark.parametrize("bits", [10, 12])
def test_values_beyond_the_bits_by_losses_of_compression_do_not_darken_the_rest(bits: int) -> None:
    values = deep(GREYS, bits)
    values[0, :9] = 2**bits + 2**bits // 100
    assert difference(decode_image(encoded(Image.fromarray(values), "PNG"))[1:], GREYS[1:]) <= 1


DARK = {
    "PNG, sBIT": deep_png(GREYS * 2, significant_bits=12),
    "TIFF, SMaxSampleValue": tiff_file(grey_page(GREYS * 2, smin=0, smax=4095)),
    "TIFF, MaxSampleValue": tiff_file(grey_page(GREYS * 2, maximum=4095)),
}


@pytest.mark.parametrize("name", DARK)
def test_dark_photo_stays_dark_where_the_file_states_its_range(name: str) -> None:
    assert difference(decode_image(DARK[name]), GREYS * 2 * 255 / 4095) <= 1


def test_least_value_that_is_stated_becomes_black() -> None:
    data = tiff_file(grey_page(1000 + GREYS * 4, smin=1000, smax=2020))
    assert difference(decode_image(data), GREYS) <= 1


@pytest.mark.parametrize("data", [deep_png(GREYS * 257, 12), tiff_file(grey_page(GREYS * 257, smax=4095))])
def test_range_that_a_value_is_above_is_passed_over(data: bytes) -> None:
    """PNG asks writers to scale their samples to all 16 bits, and to state how many there were before."""
    assert difference(decode_image(data), GREYS) <= 1


def stated(least: float, largest: float) -> dict[int, tuple[str, list[float]]]:
    return {SMIN_SAMPLE_VALUE: ("f", [least]), SMAX_SAMPLE_VALUE: ("f", [largest])}


@pytest.mark.parametrize(("least", "largest"), [(4095, 4095), (5000, 4095), (math.nan, 4095), (-math.inf, 4095)])
def test_range_that_cannot_be_is_passed_over(least: float, largest: float) -> None:
    for values, expected in ((deep(GREYS, 12), GREYS), (deep(COLOURS, 12), COLOURS)):
        page = TiffPage(values, BLACK_IS_ZERO if values.ndim == 2 else RGB, stated(least, largest))
        assert difference(decode_image(tiff_file(page)), expected) <= 1


def test_more_significant_bits_than_a_sample_has_are_passed_over() -> None:
    assert difference(decode_image(deep_png(deep(GREYS, 12), significant_bits=200)), GREYS) <= 1


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize(
    "name",
    ["PNG", "PNG, opaque", "TIFF", "TIFF, big-endian", "TIFF, opaque", "TIFF by planes", "TIFF by planes, big-endian"],
)
def test_colours_are_scaled_by_the_bits_that_they_use(name: str, bits: int) -> None:
    values = deep(COLOURS, bits)
    data = {
        "PNG": lambda: deep_png(values),
        "PNG, opaque": lambda: deep_png(opaque(values)),
        "TIFF": lambda: tiff_file(TiffPage(values, RGB)),
        "TIFF, big-endian": lambda: tiff_file(TiffPage(values, RGB), order=">"),
        "TIFF, opaque": lambda: tiff_file(TiffPage(opaque(values), RGB, {338: ("H", [2])})),
        "TIFF by planes": lambda: tiff_file(TiffPage(values, RGB, by_planes=True)),
        "TIFF by planes, big-endian": lambda: tiff_file(TiffPage(values, RGB, by_planes=True), order=">"),
    }[name]()
    assert difference(decode_image(data), COLOURS) <= 1


@pytest.mark.parametrize(
    "data",
    [
        deep_png(COLOURS * 2, significant_bits=10),
        tiff_file(TiffPage((COLOURS * 2).astype(np.uint16), RGB, {SMAX_SAMPLE_VALUE: ("H", [1023] * 3)})),
    ],
)
def test_dark_colours_stay_dark_where_the_file_states_their_range(data: bytes) -> None:
    assert difference(decode_image(data), COLOURS * 2 * 255 / 1023) <= 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_packed_planes_are_refused_where_their_low_bytes_are_lost(order: str) -> None:
    def file(bits: int) -> bytes:
        return tiff_file(TiffPage(deep(COLOURS, bits), RGB, is_packed=True, by_planes=True), order=order)

    assert difference(decode_image(file(16)), COLOURS) <= 1
    with pytest.raises(InvalidImage, match=r"uses 4,095 of 65,535 values of 16-bit samples; save it with 8 bits"):
        decode_image(file(12))


def test_greys_with_opacity_are_refused_where_their_low_bytes_are_lost() -> None:
    assert difference(decode_image(deep_png(opaque(GREYS * 257))), GREYS) <= 1
    with pytest.raises(InvalidImage, match=r"uses 4,095 of 65,535 values of 16-bit samples; save it with 8 bits"):
        decode_image(deep_png(opaque(deep(GREYS, 12))))


COLOURS_OF_A_JPEG_2000 = (
    "/0//UQAvAAAAAAAIAAAACAAAAAAAAAAAAAAACAAAAAgAAAAAAAAAAAADDwEBDwEBDwEB/1IADAAAAAEBAAQEAAH/XAAEQID/ZAAl"
    "AAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAB1AAH/k9/4kwgSK2cWj4+hghgWURtDTiG+z5gcrkJ0"
    "1I912LAFCiyQWeUNUbzL7Vk5A5gYYwrYyv4DNPeXl5eXl5e0K4AAAAAAACrij42rT9iObAtdXCdb62l1bG3zfN83zfN83ziyJf9/"
    "gID/2Q=="
)


def test_colours_of_a_jpeg_2000_are_refused_where_their_low_bytes_are_lost() -> None:
    """Its decoder leaves the high bytes alone; 8x8 px of 12 bits, as Pillow does not write them."""
    with pytest.raises(InvalidImage, match=r"uses 4,095 of 65,535 values of 16-bit samples; save it with 8 bits"):
        decode_image(base64.b64decode(COLOURS_OF_A_JPEG_2000))


class TestFloats:
    def test_they_are_scaled_to_their_own_range(self) -> None:
        values = np.linspace(-3, 5, 16, dtype=np.float32).reshape(4, 4)
        image = decode_image(encoded(Image.fromarray(values), "TIFF"))
        assert (image.min(), image.max()) == (0, 255)
        assert (np.diff(image[..., 0].ravel().astype(int)) > 0).all()

    @pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
    def test_finite_pixels_are_kept_beside_others(self, odd: float) -> None:
        values = np.array([[0.0, 1.0], [2.0, odd]], dtype=np.float32)
        image = decode_image(encoded(Image.fromarray(values), "TIFF"))
        assert image[0, 0, 0] == 0
        assert image[1, 0, 0] == 255
        assert image[0, 1, 0] in {127, 128}


def test_samples_of_32_bits_without_a_sign_reach_beyond_those_with_one() -> None:
    values = (GREYS * ((2**32 - 1) // 255)).astype(np.uint32)
    found = decode_image(tiff_file(TiffPage(values, BLACK_IS_ZERO)))
    assert difference(found, GREYS) <= 1


class TestNoData:
    """Rasters of geographic software have values that stand for none, over land or beyond their border."""

    VALUES = np.linspace(10, 20, 96 * 64, dtype=np.float32).reshape(64, 96)

    def decoded(self, empty: float, *, said: str | None, values: Values = VALUES) -> Rgb:
        values = values.copy()
        values[0, :5] = empty
        return decode_image(encoded(Image.fromarray(values), "TIFF", tiffinfo={42113: said} if said else {}))

    @pytest.mark.parametrize(
        ("empty", "said"), [(-9999.0, "-9999"), (-3.4028235e38, None), (3.4e38, "3.4e38"), (math.nan, "nan")]
    )
    def test_they_are_black_and_leave_the_others_as_they_are(self, empty: float, said: str | None) -> None:
        found = self.decoded(empty, said=said)
        assert (found[0, :5] == 0).all()
        np.testing.assert_allclose(found[1:, :, 0], (self.VALUES[1:] - 10) * 25.5, atol=1)

    def test_whole_numbers_have_them_too(self) -> None:
        values = (self.VALUES * 200).astype(np.uint16)  # up to 4,000: 12 bits
        found = self.decoded(65535, said="65535", values=values)
        assert found[-1, -1, 0] == round(4000 / 4095 * 255)

    @pytest.mark.parametrize("said", ["nan", "inf", "-9999", "65537.5", "1e300"])
    def test_one_that_no_sample_can_have_is_passed_over(self, said: str) -> None:
        values = (self.VALUES * 200).astype(np.uint16)
        values[-1, :2] = 65536 - 9999, 1  # as which they would be read in 16 bits
        np.testing.assert_array_equal(
            self.decoded(2000, said=said, values=values), self.decoded(2000, said=None, values=values)
        )

    @pytest.mark.parametrize(("empty", "said"), [(math.nan, None), (-9999.0, "-9999")])
    def test_picture_of_nothing_else_is_refused(self, empty: float, said: str | None) -> None:
        with pytest.raises(InvalidImage, match="has no values"):
            self.decoded(empty, said=said, values=np.full((64, 96), empty, np.float32))

    def test_words_are_passed_over(self) -> None:
        assert self.decoded(10.0, said="none").max() == 255
