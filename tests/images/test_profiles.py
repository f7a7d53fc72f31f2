"""Wide-gamut, print and grey profiles: the networks see the colours that people see."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from crowdserve.images import Rgb, decode_fitted, decode_image, opened
from crowdserve.images.profiles import MAX_PROFILE_BYTES, srgb_transform, to_srgb
from tests.support.paths import PHOTO
from tests.support.photos import encoded
from tools.files.icc import ADOBE_RGB, DISPLAY_P3, SRGB, cmyk_profile, grey_profile, rgb_profile

with Image.open(PHOTO) as _file:
    PICTURE = _file.convert("RGB").resize((192, 128))

LOSSLESS = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}
LOSSY = {"JPEG": {"quality": 95, "subsampling": 0}, "AVIF": {"quality": 95}, "HEIF": {"quality": 95, "chroma": 444}}


def in_space(profile: bytes, mode: str = "RGB") -> Image.Image:
    """The picture as a file with that profile has it."""
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    converted = ImageCms.profileToProfile(PICTURE, ImageCms.createProfile("sRGB"), target, intent, mode)
    assert converted is not None
    return converted


def difference(found: Rgb, expected: Image.Image = PICTURE) -> float:
    return float(np.abs(found.astype(float) - np.asarray(expected.convert("RGB"), float)).mean())


@pytest.mark.parametrize("file_format", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("name", [DISPLAY_P3, ADOBE_RGB])
def test_wide_gamut_is_seen_as_it_was(name: str, file_format: str) -> None:
    profile, options = rgb_profile(name), {**LOSSLESS, **LOSSY}[file_format]
    wide = in_space(profile)
    assert difference(np.asarray(wide)) > 2  # else the test proves nothing
    file = encoded(wide, file_format, icc_profile=profile, **options)
    assert difference(decode_image(file)) < (1 if file_format in LOSSLESS else 2.5)


def in_boxes(jpeg_2000: bytes, profile: bytes, method: int) -> bytes:
    """A JPEG 2000 with a profile in place of the number of its colour space; Pillow writes none."""
    content = b"colr" + bytes((method, 0, 0)) + profile
    colours = (4 + len(content)).to_bytes(4, "big") + content
    at, old = jpeg_2000.index(b"jp2h") - 4, jpeg_2000.index(b"colr") - 4
    length = int.from_bytes(jpeg_2000[at : at + 4], "big") - 15 + len(colours)
    return jpeg_2000[:at] + length.to_bytes(4, "big") + jpeg_2000[at + 4 : old] + colours + jpeg_2000[old + 15 :]


@pytest.mark.parametrize("method", [2, 3])
@pytest.mark.parametrize("name", [DISPLAY_P3, ADOBE_RGB])
def test_profile_in_the_boxes_of_a_jpeg_2000_is_heeded(name: str, method: int) -> None:
    profile = rgb_profile(name)
    file = encoded(in_space(profile), "JPEG2000")
    assert difference(decode_image(in_boxes(file, profile, method))) < 1
    for broken in (profile[:100], bytes(200)):
        np.testing.assert_array_equal(decode_image(in_boxes(file, broken, method)), decode_image(file))


def fitted(file: bytes) -> tuple[Rgb, Rgb]:
    with opened(file) as image:
        found = decode_fitted(image, max_side_px=96, with_scene=True)
    assert found.scene is not None
    return found.image, found.scene


def test_both_results_of_decoding_for_the_networks_are_converted() -> None:
    profile = rgb_profile(DISPLAY_P3)
    wide = fitted(encoded(in_space(profile), "PNG", icc_profile=profile))
    for found, expected in zip(wide, fitted(encoded(PICTURE, "PNG")), strict=True):
        assert np.abs(found.astype(float) - expected).mean() < 1


def test_srgb_is_left_as_it_is() -> None:
    plain = encoded(PICTURE, "JPEG", quality=95)
    with_profile = encoded(PICTURE, "JPEG", quality=95, icc_profile=rgb_profile(SRGB))
    np.testing.assert_array_equal(decode_image(with_profile), decode_image(plain))
    assert srgb_transform(rgb_profile(SRGB), "RGB") is None


def test_paper_and_inks_of_print_are_seen_as_they_are_printed() -> None:
    inks, profile = PICTURE.convert("CMYK"), cmyk_profile()
    expected = to_srgb(inks, srgb_transform(profile, "CMYK"))
    assert expected.mode == "RGB"
    for file_format in ("TIFF", "JPEG"):
        options = {"quality": 100, "subsampling": 0} if file_format == "JPEG" else {}
        found = decode_image(encoded(inks, file_format, icc_profile=profile, **options))
        assert difference(found, expected) < 2
        assert difference(found, inks.convert("RGB")) > 10
    without = decode_image(encoded(inks, "TIFF"))
    np.testing.assert_array_equal(without, np.asarray(inks.convert("RGB")))


def test_greys_of_another_gamma_are_seen_as_they_were() -> None:
    linear = (np.asarray(PICTURE.convert("L"), float) / 255) ** (2.2 / 1.8)
    stored = Image.fromarray(np.rint(linear * 255).astype(np.uint8))
    file = encoded(stored, "PNG", icc_profile=grey_profile(1.8))
    assert difference(decode_image(file), PICTURE.convert("L")) < 3
    assert difference(np.asarray(stored.convert("RGB")), PICTURE.convert("L")) > 8


def test_profile_holds_for_an_upright_and_for_a_transparent_photo() -> None:
    profile, exif = rgb_profile(DISPLAY_P3), Image.Exif()
    exif[0x0112] = 6
    turned = in_space(profile).transpose(Image.Transpose.ROTATE_90)
    assert difference(decode_image(encoded(turned, "PNG", icc_profile=profile, exif=exif))) < 1
    opaque = in_space(profile).convert("RGBA")
    assert difference(decode_image(encoded(opaque, "PNG", icc_profile=profile))) < 1


def broken_profiles() -> dict[str, bytes]:
    whole = rgb_profile(DISPLAY_P3)
    return {
        "rubbish": b"profile" * 20,
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "header alone": whole[:128],
        "signature lost": whole.replace(b"acsp", b"xxxx"),
        "of print": cmyk_profile(),
        "of greys": grey_profile(1.8),
        "table beyond its end": whole[:144] + b"rXYZ\xff\xff\xff\xf0" + whole[152:],
        "too large": whole + bytes(MAX_PROFILE_BYTES),
    }


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, mode) for name in broken_profiles() for mode in ("RGB", "CMYK") if (name, mode) != ("of print", "CMYK")],
)
def test_broken_profile_is_passed_over(name: str, mode: str) -> None:
    picture = PICTURE.convert(mode)
    file = encoded(picture, "TIFF", icc_profile=broken_profiles()[name])
    np.testing.assert_array_equal(decode_image(file), np.asarray(picture.convert("RGB")))


def test_a_grey_profile_counts_for_a_transparent_picture_too() -> None:
    linear = (np.asarray(PICTURE.convert("L"), float) / 255) ** (2.2 / 1.8)
    dark = Image.fromarray(np.rint(linear * 255).astype(np.uint8))
    opaque = encoded(dark, "PNG", icc_profile=grey_profile(1.8))
    layered = Image.merge("LA", (dark, Image.new("L", dark.size, 255)))
    np.testing.assert_array_equal(
        decode_image(encoded(layered, "PNG", icc_profile=grey_profile(1.8))), decode_image(opaque)
    )
