"""Photos from files: whole, as in training, or scaled while they are read, as in serving."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile

from crowdserve.images.colours import to_eight_bits
from crowdserve.images.deep_colours import check_high_bytes, deep_layout, eight_bit_colours
from crowdserve.images.files import MAX_WHOLE_PIXELS, EncodedImage, opened
from crowdserve.images.formats.jpeg2000 import lacks_tiles
from crowdserve.images.formats.signatures import JPEG_2000
from crowdserve.images.geometry import SCENE_SIDE_PX, Rgb, drafted_size, fitted_size, shrunk
from crowdserve.images.profiles import profile_of, srgb_transform, to_srgb
from crowdserve.images.scaled_reading import scale_down
from crowdserve.images.wholeness import whole_jpeg

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {_TURNS[orientation] for orientation in (5, 6, 7, 8)}


@dataclass(frozen=True, slots=True)
class FittedImage:
    """An image as the networks take it.

    Attributes:
        image: Upright RGB [height, width, 3].
        scene: The scene classifier's input [224, 224, 3]; None if it was not wanted.
        sent_size: Width and height of the upright image before it was scaled, pixels.
    """

    image: Rgb
    scene: Rgb | None
    sent_size: tuple[int, int]


def decode_image(data: bytes, *, max_pixels: int = MAX_WHOLE_PIXELS) -> Rgb:
    """Decode a photo to upright RGB, whatever its mode.

    The EXIF orientation is applied; grayscale, palette, CMYK and deeper images are converted; transparent ones are
    composited on white.

    Args:
        data: The content of a file in one of `FORMATS`.
        max_pixels: Largest height x width; read from the header, so that a decompression bomb is never unpacked.

    Raises:
        InvalidImage: If the bytes are not such a file, or a truncated or broken one.
        ImageTooLarge: If the image has more than `max_pixels`.
    """
    with opened(data, max_pixels=max_pixels, max_whole_pixels=max_pixels) as image:
        decoded = _decoded(image, None)
        return decoded.upright_rgb(decoded.pixels).copy()


def decode_fitted(image: EncodedImage, *, max_side_px: int, with_scene: bool) -> FittedImage:
    """Decode an opened photo as the networks take it; a large one is never held as a whole RGB array.

    A JPEG or JPEG 2000 is scaled by 1/2, 1/4 or 1/8 while it is read, as long as it stays larger than `drafted_size`.

    Args:
        image: What `opened` yields.
        max_side_px: Longest side of the result; a smaller photo is not enlarged.
        with_scene: Whether the scene classifier's input is wanted.

    Raises:
        InvalidImage: If pixels are missing.
    """
    sent_size = image.file.size
    size = fitted_size(sent_size, max_side_px)
    decoded = _decoded(image, drafted_size(size) if size != sent_size else None)
    whole, scene = decoded.pixels, None
    if with_scene:
        # The classifier was trained on whole photos squeezed in one step, so its input is not made from the fitted one.
        scene = decoded.upright_rgb(shrunk(whole, (SCENE_SIDE_PX, SCENE_SIDE_PX), reducing_gap=1.0))
    fitted = decoded.upright_rgb(whole if size == whole.size else shrunk(whole, size))
    return FittedImage(fitted, scene, sent_size[::-1] if decoded.turn in _SIDEWAYS else sent_size)


@dataclass(frozen=True, slots=True)
class _Decoded:
    """Pixels of mode RGB, L or CMYK, what makes them upright, and what converts their colours to sRGB."""

    pixels: Image.Image
    turn: Image.Transpose | None
    srgb: ImageCms.ImageCmsTransform | None

    def upright_rgb(self, scaled: Image.Image) -> Rgb:
        """Some of the pixels, or all, as an array that cannot be written to: that saves a copy.

        Colours are converted here, when there are few pixels left.
        """
        in_srgb = to_srgb(scaled, self.srgb)
        turned = in_srgb.convert("RGB") if in_srgb.mode != "RGB" else in_srgb
        return np.asarray(turned if self.turn is None else turned.transpose(self.turn), dtype=np.uint8)


def _decoded(image: EncodedImage, least_size: tuple[int, int] | None) -> _Decoded:
    """The pixels of an opened image.

    Args:
        image: What `opened` yields.
        least_size: Width and height that it keeps when it is scaled while it is read; None to read it as it is.
    """
    layout, profile = deep_layout(image.file), profile_of(image)
    file = _loaded(image, least_size)
    deep = eight_bit_colours(file, layout, image.again, image.samples) if layout else file
    if image.has_high_bytes_alone:
        check_high_bytes(file, image.samples)
    pixels = to_eight_bits(deep, image.samples)
    return _Decoded(pixels, _turn_of(file), srgb_transform(profile, pixels.mode))


def _loaded(image: EncodedImage, least_size: tuple[int, int] | None) -> ImageFile.ImageFile:
    if least_size is not None:
        scale_down(image, least_size)
    if image.jpeg:
        return whole_jpeg(image.file, image.data, image.jpeg, least_size)
    if image.kind is JPEG_2000 and lacks_tiles(image.data):
        raise OSError("tiles are missing")  # as its decoder says it of a tile that is cut
    image.file.load()
    return image.file


def _turn_of(file: ImageFile.ImageFile) -> Image.Transpose | None:
    """What makes the image upright; a broken EXIF block is ignored, as the pixels may be intact.

    AVIF and HEIC have boxes for it, which count alone: the decoder of HEIC has turned the image, that of AVIF has
    written what they say to the EXIF block. XMP, which Pillow asks where that says nothing, may not turn it once more.
    """
    if file.format == "AVIF":
        file.info.pop("xmp", None)
    with suppress(Exception):  # the EXIF parser raises SyntaxError, struct.error, KeyError and more
        return _TURNS.get(file.getexif().get(ExifTags.Base.Orientation, 1))
    return None
