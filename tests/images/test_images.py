import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crowdserve.errors import ImageTooLarge, InvalidImage
from crowdserve.images import (
    FORMATS,
    SCENE_SIDE_PX,
    Rgb,
    crop_density,
    decode_image,
    fit_within,
    pad_bottom_right,
    scene_input,
)
from tests.support.photos import encoded

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION = 0x0112


def quarters(width: int = 32, height: int = 16) -> Image.Image:
    """Red and green over blue and white: every rotation and flip differs."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(GREEN, (width // 2, 0, width, height // 2))
    picture.paste(BLUE, (0, height // 2, width // 2, height))
    picture.paste(WHITE, (width // 2, height // 2, width, height))
    return picture


def corners(image: Rgb) -> list[tuple[int, ...]]:
    return [tuple(image[y, x].tolist()) for y in (1, -2) for x in (1, -2)]


def close(found: list[tuple[int, ...]], expected: list[tuple[int, ...]], tolerance: int = 12) -> bool:
    return bool(np.abs(np.subtract(found, expected)).max() <= tolerance)


@pytest.fixture(scope="module")
def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))


# As in production: `images` silences Pillow's warnings; pytest would turn them into errors.
pytestmark = pytest.mark.filterwarnings("ignore")


class TestDecode:
    @pytest.mark.parametrize("file_format", ["PNG", "WEBP", "BMP", "TIFF", "JPEG2000"])
    def test_lossless_formats_preserve_pixels(self, file_format: str, noise: Image.Image) -> None:
        options = {"lossless": True} if file_format == "WEBP" else {}
        image = decode_image(encoded(noise, file_format, **options))
        assert image.dtype == np.uint8
        assert image.flags.writeable
        np.testing.assert_array_equal(image, np.asarray(noise))

    @pytest.mark.parametrize("file_format", ["JPEG", "GIF", "WEBP", "AVIF", "HEIF"])
    def test_lossy_formats_nearly_preserve_pixels(self, file_format: str) -> None:
        options = {"quality": 95, "subsampling": 0} if file_format == "JPEG" else {}
        image = decode_image(encoded(quarters(), file_format, **options))
        assert image.shape == (16, 32, 3)
        assert close(corners(image), [RED, GREEN, BLUE, WHITE])

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 5)])
    def test_odd_sizes_are_decoded(self, size: tuple[int, int]) -> None:
        assert decode_image(encoded(Image.new("RGB", size, RED), "PNG")).shape == (size[1], size[0], 3)

    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
    def test_every_mode_converts_to_the_same_rgb(self, mode: str) -> None:
        gray = Image.new("L", (8, 8), 0)
        gray.paste(255, (4, 0, 8, 8))
        file_format = "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"
        image = decode_image(encoded(gray.convert("RGB").convert(mode), file_format))
        expected = np.repeat(np.asarray(gray)[..., np.newaxis], 3, axis=2).astype(int)
        assert image.shape == (8, 8, 3)
        assert np.abs(image - expected).max() <= 40  # JPEG rings at the edge
        assert (image[:, 0] < 10).all()
        assert (image[:, -1] > 245).all()

    def test_cmyk_jpeg_has_its_colours(self) -> None:
        image = decode_image(encoded(quarters().convert("CMYK"), "JPEG", quality=95))
        assert close(corners(image), [RED, GREEN, BLUE, WHITE], 30)

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_transparent_pixels_are_white(self, mode: str) -> None:
        picture = Image.new("RGBA", (8, 8), (0, 0, 0, 255))
        picture.paste((0, 0, 0, 0), (4, 0, 8, 8))
        picture.paste((0, 0, 0, 128), (0, 4, 4, 8))
        image = decode_image(encoded(picture.convert(mode), "PNG"))
        assert image[0, 0].tolist() == [0, 0, 0]
        assert image[0, 7].tolist() == [255, 255, 255]
        assert image[7, 0].tolist() == pytest.approx([127, 127, 127], abs=1)

    @pytest.mark.parametrize("transparency", [0, bytes([0, 255])])
    def test_transparent_palette_entries_are_white(self, transparency: int | bytes) -> None:
        picture = Image.new("P", (4, 4), 0)
        picture.putpalette([0, 0, 0, 255, 0, 0])
        picture.paste(1, (2, 0, 4, 4))
        image = decode_image(encoded(picture, "PNG", transparency=transparency))
        assert image[0, 0].tolist() == [255, 255, 255]
        assert image[0, 3].tolist() == [255, 0, 0]

    def test_animation_gives_its_first_frame(self) -> None:
        frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
        data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert decode_image(data)[0, 0].tolist() == list(RED)

    def test_multi_picture_jpeg_of_a_phone_is_a_jpeg(self) -> None:
        data = encoded(quarters(), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
        assert close(corners(decode_image(data)), [RED, GREEN, BLUE, WHITE], 60)


class TestOrientation:
    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation_is_applied(self, orientation: int, file_format: str) -> None:
        turned_by = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,  # a viewer turns it back, clockwise
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }
        stored = quarters() if orientation == 1 else quarters().transpose(turned_by[orientation])
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options = {"JPEG": {"quality": 95, "subsampling": 0}, "HEIF": {"chroma": 444}}.get(file_format, {})
        image = decode_image(encoded(stored, file_format, exif=exif.tobytes(), **options))
        assert image.shape == (16, 32, 3)
        assert close(corners(image), [RED, GREEN, BLUE, WHITE], 20)

    @pytest.mark.parametrize("block", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
    def test_broken_exif_is_ignored(self, block: bytes) -> None:
        plain = encoded(quarters(), "JPEG", quality=95, subsampling=0)
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
        image = decode_image(plain[:2] + segment + plain[2:])
        np.testing.assert_array_equal(image, decode_image(plain))


class TestRefusal:
    @pytest.mark.parametrize(
        "data",
        [b"", b"\0", b"hello, this is no picture", b"%PDF-1.7 ...", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", bytes(999)],
    )
    def test_other_bytes_are_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidImage, match=rf"{len(data)}|truncated"):
            decode_image(data)

    @pytest.mark.parametrize("file_format", FORMATS)
    @pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
    def test_truncated_files_are_refused(self, file_format: str, share: float, noise: Image.Image) -> None:
        data = encoded(noise, file_format)
        with pytest.raises(InvalidImage, match=r"whole|not an image|truncated"):
            decode_image(data[: int(len(data) * share)])

    @pytest.mark.parametrize("file_format", ["PNG", "WEBP", "AVIF", "HEIF", "JPEG2000", "GIF", "TIFF", "JPEG", "BMP"])
    @given(data=st.data())
    def test_damaged_files_are_refused_or_decoded_but_nothing_else(self, file_format: str, data: st.DataObject) -> None:
        good = bytearray(encoded(quarters(), file_format))
        for _ in range(data.draw(st.integers(1, 4))):
            good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
        try:
            image = decode_image(bytes(good), max_pixels=10_000)
        except (InvalidImage, ImageTooLarge):
            return
        assert image.dtype == np.uint8
        assert image.ndim == 3

    def test_decompression_bomb_is_refused_by_its_header(self) -> None:
        with pytest.raises(ImageTooLarge, match="10000x10000 px, 100,000,000 pixels; the limit is 64,000,000"):
            decode_image(png_header(10_000, 10_000))

    def test_decompression_bomb_refused_by_pillow_gives_the_same_error(self) -> None:
        with pytest.raises(ImageTooLarge, match="over 178,956,970 pixels, Pillow's limit"):
            decode_image(png_header(30_000, 30_000), max_pixels=10**9)

    def test_limit_itself_is_allowed(self) -> None:
        data = encoded(Image.new("RGB", (10, 10)), "PNG")
        assert decode_image(data, max_pixels=100).shape == (10, 10, 3)
        with pytest.raises(ImageTooLarge, match="10x10 px, 100 pixels; the limit is 99: scale it down"):
            decode_image(data, max_pixels=99)

    def test_message_shows_the_first_bytes_where_they_do_not_tell_what_it_is(self) -> None:
        with pytest.raises(InvalidImage, match=r"not an image \(they start with b'.*JPEG, PNG"):
            decode_image(bytes(range(150, 250)) * 9)


def png_header(width: int, height: int) -> bytes:
    """A PNG of a given size whose pixels are missing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0"))
    )


def test_decoding_in_threads_does_not_change_warning_filters(noise: Image.Image) -> None:
    data = encoded(noise, "PNG")
    before = list(warnings.filters)
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for _ in range(50):
            decode_image(data)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work) for _ in range(8)]:
            future.result()
    assert list(warnings.filters) == before


class TestFit:
    def test_smaller_image_is_returned_unchanged(self) -> None:
        image = np.zeros((30, 40, 3), np.uint8)
        assert fit_within(image, 40) is image

    @given(height=st.integers(1, 400), width=st.integers(1, 400), side=st.integers(1, 300))
    def test_longer_side_fits_and_aspect_ratio_is_kept(self, height: int, width: int, side: int) -> None:
        fitted = fit_within(np.full((height, width, 3), 77, np.uint8), side)
        rows, columns = fitted.shape[:2]
        assert max(rows, columns) == min(side, max(height, width))
        scale = max(rows, columns) / max(height, width)
        assert abs(rows - height * scale) <= 1
        assert abs(columns - width * scale) <= 1
        assert (fitted == 77).all()


class TestPad:
    @given(
        height=st.integers(1, 200),
        width=st.integers(1, 200),
        multiple=st.sampled_from([1, 8, 16, 64]),
        least=st.sampled_from([1, 64]),
    )
    def test_padding_reaches_the_multiple_and_keeps_the_image(
        self, height: int, width: int, multiple: int, least: int
    ) -> None:
        image = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
        padded = pad_bottom_right(image, multiple=multiple, min_side_px=least)
        assert all(side % multiple == 0 and side >= least for side in padded.shape[:2])
        assert all(p < max(s, least) + multiple for p, s in zip(padded.shape[:2], (height, width), strict=True))
        np.testing.assert_array_equal(padded[:height, :width], image)
        assert (padded[height:, :width] == image[-1]).all()
        assert (padded[:, width:] == padded[:, width - 1 : width]).all()

    @given(height=st.integers(1, 200), width=st.integers(1, 200), stride=st.sampled_from([8, 16, 32]))
    def test_cropping_removes_exactly_the_padding_cells(self, height: int, width: int, stride: int) -> None:
        """For a map of the number of real pixels per cell, cropping loses no pixel and keeps no empty cell."""
        ones = np.pad(np.ones((height, width)), ((0, -height % (2 * stride)), (0, -width % (2 * stride))))
        cells = ones.reshape(ones.shape[0] // stride, stride, -1, stride).sum((1, 3)).astype(np.float32)
        cropped = crop_density(cells, height, width, stride)
        assert cropped.sum() == height * width
        assert (cropped > 0).all()
        assert crop_density(cells[np.newaxis], height, width, stride).shape == (1, *cropped.shape)


class TestSceneInput:
    @pytest.mark.parametrize("shape", [(1, 1), (50, 400), (768, 1024), (3000, 20)])
    def test_any_image_is_resized_to_a_square(self, shape: tuple[int, int]) -> None:
        image = scene_input(np.full((*shape, 3), 99, np.uint8))
        assert image.shape == (SCENE_SIDE_PX, SCENE_SIDE_PX, 3)
        assert image.dtype == np.uint8
        assert (image == 99).all()

    def test_square_shows_the_whole_image_antialiased(self) -> None:
        stripes = np.zeros((1024, 1024, 3), np.uint8)
        stripes[:, ::2] = 255
        assert np.abs(scene_input(stripes)[8:-8, 8:-8].astype(int) - 127).max() <= 6
        image = scene_input(np.asarray(quarters(1000, 500)))
        assert close(corners(image), [RED, GREEN, BLUE, WHITE])
