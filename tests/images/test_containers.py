"""AVIF, HEIC and JPEG 2000, as phones, browsers and archives write them."""

import base64
import io
import re

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from crowdserve.errors import InvalidImage
from crowdserve.images import Rgb, decode_fitted, decode_image, opened, plugins
from crowdserve.images.formats.jpeg2000 import halvings, lacks_tiles
from tests.support.paths import PHOTO
from tests.support.photos import encoded

with Image.open(PHOTO) as _file:
    PICTURE = _file.convert("RGB").resize((192, 128))


def difference(found: Rgb, expected: Image.Image = PICTURE) -> float:
    return float(np.abs(found.astype(float) - np.asarray(expected.convert("RGB"), float)).mean())


def heic(values: np.ndarray, mode: str, **options: object) -> bytes:
    file = io.BytesIO()
    pillow_heif.encode(mode, values.shape[1::-1], values.tobytes(), file, **options)
    return file.getvalue()


def with_brand(data: bytes, brand: bytes) -> bytes:
    """The same file by another major brand; its compatible brands stay."""
    return data[:8] + brand + data[12:]


DEEP = np.asarray(PICTURE).astype(np.uint16) * 257
FILES = {
    "AVIF": encoded(PICTURE, "AVIF"),
    "AVIF, 4:4:4 in tiles": encoded(PICTURE, "AVIF", subsampling="4:4:4", tile_rows=1, tile_cols=1),
    "AVIF with transparency": encoded(PICTURE.convert("RGBA"), "AVIF"),
    "AVIF, animated": encoded(PICTURE, "AVIF", save_all=True, append_images=[PICTURE.rotate(180)]),
    "HEIC": encoded(PICTURE, "HEIF"),
    "HEIC in a grid, as of an iPhone": encoded(PICTURE, "HEIF", tile_size=64),
    "HEIC with transparency": encoded(PICTURE.convert("RGBA"), "HEIF"),
    "HEIC of 10 bits": heic(DEEP, "RGB;16"),
    "HEIC of 12 bits": heic(DEEP, "RGB;16", save_to_12bit=True, chroma=444),
    "HEIC of several pictures": encoded(PICTURE, "HEIF", save_all=True, append_images=[PICTURE.rotate(180)]),
    "HEIC with a thumbnail": encoded(PICTURE, "HEIF", thumbnails=[64]),
    "JPEG 2000": encoded(PICTURE, "JPEG2000"),
    "JPEG 2000, codestream alone": encoded(PICTURE, "JPEG2000", no_jp2=True),
    "JPEG 2000 in tiles, lossy": encoded(PICTURE, "JPEG2000", tile_size=(64, 64), quality_layers=[8]),
    "JPEG 2000 with transparency": encoded(PICTURE.convert("RGBA"), "JPEG2000"),
}


@pytest.mark.parametrize("name", FILES)
def test_photo_is_decoded(name: str) -> None:
    assert difference(decode_image(FILES[name])) < 6


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"xyz "])
def test_heic_is_known_by_any_of_its_brands(brand: bytes) -> None:
    assert difference(decode_image(with_brand(FILES["HEIC"], brand))) < 6


@pytest.mark.parametrize("brand", [b"avif", b"mif1", b"miaf", b"MA1B", b"xyz "])
def test_avif_is_known_by_any_of_its_brands(brand: bytes) -> None:
    assert difference(decode_image(with_brand(FILES["AVIF"], brand))) < 6


@pytest.mark.parametrize("file_format", ["AVIF", "HEIF", "JPEG2000"])
def test_greys_are_decoded(file_format: str) -> None:
    assert difference(decode_image(encoded(PICTURE.convert("L"), file_format)), PICTURE.convert("L")) < 6


def test_dark_greys_of_a_heic_of_12_bits_stay_dark() -> None:
    dark = np.asarray(PICTURE.convert("L")).astype(np.uint16) * 32  # an eighth of the range
    file = heic(dark, "L;16", save_to_12bit=True)
    assert difference(decode_image(file), Image.fromarray((dark >> 8).astype(np.uint8))) < 2


RAMP_OF_A_JPEG_2000 = (
    "/0//UQApAAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABCwEB/1IADAAAAAEAAQQEAAH/XAAHQGBoaHD/ZAAlAAFD"
    "cmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAABmAAH/k9/hGBIrZxaPj6GCF06Ywj6Kg8alJ6kWHKrKCxQA"
    "XiEgAH7EPooR/Y66ChTWW1BWbY7XVwY/H4yoG+bzgB6Bit1waWLP8zP8zP7AA6HAPqBQNqGXPaY0YL//2Q=="
)
"""16x16 px from 0 to 510 that are said to have 12 bits, as Pillow does not write them."""


def test_dark_greys_of_a_jpeg_2000_that_says_its_12_bits_stay_dark() -> None:
    found = decode_image(base64.b64decode(RAMP_OF_A_JPEG_2000))
    np.testing.assert_allclose(found[..., 0].ravel(), np.arange(256) * 2 / 4095 * 255, atol=1)


@pytest.mark.parametrize("name", ["JPEG 2000", "JPEG 2000, codestream alone"])
def test_jpeg_2000_without_its_end_marker_has_all_its_pixels(name: str) -> None:
    whole = FILES[name]
    assert whole.endswith(b"\xff\xd9")
    np.testing.assert_array_equal(decode_image(whole[:-2]), decode_image(whole))
    for cut in (3, 20, len(whole) // 2):
        with pytest.raises(InvalidImage, match="the JPEG 2000 is truncated"):
            decode_image(whole[:-cut])


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_jpeg_2000_without_some_of_its_tiles_is_refused(end: bytes) -> None:
    """Its decoder leaves them black, and says nothing."""
    whole = FILES["JPEG 2000 in tiles, lossy"]
    tiles = [found.start() for found in re.finditer(rb"\xff\x90\0\x0a", whole)]
    assert len(tiles) == 6
    for cut in tiles[1:]:
        with pytest.raises(InvalidImage, match="the JPEG 2000 is truncated"):
            decode_image(whole[:cut] + end)


def test_jpeg_2000_without_a_part_of_a_tile_is_refused() -> None:
    """The file says that its only tile has two parts, of which the second one is not there."""
    whole = FILES["JPEG 2000"]
    parts_at = whole.index(b"\xff\x90\0\x0a") + 11
    assert whole[parts_at] == 1
    for parts, is_whole in ((0, True), (1, True), (2, False)):
        assert lacks_tiles(whole[:parts_at] + bytes([parts]) + whole[parts_at + 1 :]) is not is_whole


@pytest.mark.parametrize("name", ["AVIF", "HEIC", "JPEG 2000", "JPEG 2000, codestream alone"])
def test_anything_may_stand_behind_it(name: str) -> None:
    for behind in (b"\r\n--frame--\r\n", bytes(99)):
        np.testing.assert_array_equal(decode_image(FILES[name] + behind), decode_image(FILES[name]))


TURNED_BEFORE = {
    orientation: PICTURE.transpose(turn)
    for orientation, turn in {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.items()
}


class TestTurns:
    """Boxes, `irot` and `imir`, say how an AVIF or HEIC is turned; EXIF and XMP often repeat it, or say what was so."""

    OTHER_TAG = 0x9209
    """A tag whose number is replaced by the orientation's, as the encoders move that one into the boxes."""

    def boxed(self, file_format: str, orientation: int, in_exif: int) -> bytes:
        turned = TURNED_BEFORE.get(orientation, PICTURE).copy()
        exif = Image.Exif()
        exif[0x0112], exif[self.OTHER_TAG] = orientation, in_exif
        turned.info["exif"] = exif.tobytes()
        file = encoded(turned, file_format, exif=exif) if file_format == "AVIF" else encoded(turned, file_format)
        for order in ("little", "big"):
            there = self.OTHER_TAG.to_bytes(2, order) + (3).to_bytes(2, order) + (1).to_bytes(4, order)
            file = file.replace(there, (0x0112).to_bytes(2, order) + there[2:])
        return file

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("file_format", ["AVIF", "HEIF"])
    def test_photo_is_turned_once(self, file_format: str, orientation: int) -> None:
        for in_exif in (orientation, 1, 6):
            assert difference(decode_image(self.boxed(file_format, orientation, in_exif))) < 6

    @pytest.mark.parametrize("in_boxes", [1, 6])
    def test_xmp_turns_nothing(self, in_boxes: int) -> None:
        xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
        exif = Image.Exif()
        exif[0x0112] = in_boxes
        file = encoded(TURNED_BEFORE.get(in_boxes, PICTURE), "AVIF", exif=exif, xmp=xmp)
        assert difference(decode_image(file)) < 6


class TestCodePointsOfColours:
    """What a file says of its colours; the first two numbers matter here, the third to the decoder."""

    @staticmethod
    def stating(file: bytes, place: int, code: int) -> bytes:
        at = file.index(b"colrnclx") + 8 + 2 * place
        return file[:at] + code.to_bytes(2, "big") + file[at + 2 :]

    @pytest.mark.parametrize(
        ("name", "place", "code", "stated"),
        [
            ("HEIC", 0, 15, "primaries 15, transfer 13, matrix 6"),
            ("HEIC", 1, 1000, "primaries 1, transfer 1000, matrix 6"),
            ("HEIC", 2, 14, "primaries 1, transfer 13, matrix 14"),
            ("AVIF", 2, 14, "primaries 1, transfer 13, matrix 14"),
        ],
    )
    def test_those_that_are_not_decoded_are_named(self, name: str, place: int, code: int, stated: str) -> None:
        message = rf"the {name} states its colours by code points that are not decoded \({stated}\); convert it to JPEG"
        with pytest.raises(InvalidImage, match=message):
            decode_image(self.stating(FILES[name], place, code))


class TestJpeg2000Levels:
    def test_large_photo_is_scaled_while_it_is_read(self) -> None:
        large = PICTURE.resize((1536, 1024))
        with opened(encoded(large, "JPEG2000")) as image:
            fitted = decode_fitted(image, max_side_px=192, with_scene=True)
            assert image.file.size == (384, 256)  # 3/2 of 192 are 288
        assert fitted.sent_size == (1536, 1024)
        assert difference(fitted.image) < 8

    @pytest.mark.parametrize(("resolutions", "expected"), [(1, 0), (2, 1), (6, 5)])
    def test_it_cannot_be_halved_more_often_than_it_has_levels(self, resolutions: int, expected: int) -> None:
        file = encoded(PICTURE.resize((768, 512)), "JPEG2000", num_resolutions=resolutions)
        assert halvings(file) == expected
        with opened(file) as image:
            fitted = decode_fitted(image, max_side_px=48, with_scene=False)
        assert fitted.image.shape == (32, 48, 3)

    @pytest.mark.parametrize("data", [b"", b"\xff\x4f\xff\x51", b"\xff\x4f\xff\x51\0\2\xff\x52"])
    def test_what_is_cut_has_none(self, data: bytes) -> None:
        assert halvings(data) == 0


def test_missing_decoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_heif_library", lambda: None)
    with pytest.raises(InvalidImage, match=r"HEIC: .*install pillow-heif, or convert it to JPEG"):
        decode_image(FILES["HEIC"])
