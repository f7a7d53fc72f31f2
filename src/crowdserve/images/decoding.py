"""Photos from files: whole, as in training, or scaled while they are read, as in serving."""

from contextlib import suppress

import numpy as np
from PIL import ExifTags, Image, ImageFile

from crowdserve.images.colours import to_eight_bits
from crowdserve.images.files import MAX_PIXELS, opened
from crowdserve.images.geometry import SCENE_SIDE_PX, Rgb, drafted_size, fitted_size, shrunk

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_THE_SIDE = frozenset(_TURNS[orientation] for orientation in (5, 6, 7, 8))


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Rgb:
    """Decode a photo to upright RGB, whatever its mode.

    The EXIF orientation is applied; grayscale, palette, CMYK and 16-bit images are converted; transparent ones are
    composited on white.

    Args:
        data: The content of a file in one of `FORMATS`.
        max_pixels: Largest height x width; read from the header, so that a decompression bomb is never unpacked.

    Raises:
        InvalidImage: If the bytes are not such a file, or a truncated or broken one.
        ImageTooLarge: If the image has more than `max_pixels`.
    """
    with opened(data, max_pixels=max_pixels) as file:
        file.load()
        return _upright_rgb(to_eight_bits(file), _turn_of(file)).copy()


def decode_fitted(file: ImageFile.ImageFile, *, max_side_px: int, with_scene: bool) -> tuple[Rgb, Rgb | None]:
    """Decode an opened photo as the networks take it; a large one is never held as a whole RGB array.

    A JPEG is scaled by 1/2, 1/4 or 1/8 while it is read, as long as it stays larger than `drafted_size`.

    Args:
        file: A file that `opened` yields.
        max_side_px: Longest side of the result; a smaller photo is not enlarged.
        with_scene: Whether the scene classifier's input is wanted.

    Returns:
        Upright RGB [height, width, 3], and the scene classifier's input [224, 224, 3] or None.
    """
    size = fitted_size(file.size, max_side_px)
    if size != file.size:
        file.draft(None, drafted_size(size))  # of no effect on other formats
    file.load()
    whole, turn = to_eight_bits(file), _turn_of(file)
    # The classifier was trained on whole photos squeezed in one step, so its input is not made from the fitted one.
    scene = _upright_rgb(shrunk(whole, (SCENE_SIDE_PX, SCENE_SIDE_PX), reducing_gap=1.0), turn) if with_scene else None
    return _upright_rgb(whole if size == whole.size else shrunk(whole, size), turn), scene


def upright_size(file: ImageFile.ImageFile) -> tuple[int, int]:
    """Width and height that an opened photo has when it is turned upright."""
    width, height = file.size
    return (height, width) if _turn_of(file) in _ON_THE_SIDE else (width, height)


def _turn_of(file: ImageFile.ImageFile) -> Image.Transpose | None:
    """What makes the image upright; a broken EXIF block is ignored, as the pixels may be intact."""
    with suppress(Exception):  # the EXIF parser raises SyntaxError, struct.error, KeyError and more
        return _TURNS.get(file.getexif().get(ExifTags.Base.Orientation, 1))
    return None


def _upright_rgb(image: Image.Image, turn: Image.Transpose | None) -> Rgb:
    """The image as an array that cannot be written to: that saves a copy."""
    turned = image.convert("RGB") if image.mode != "RGB" else image
    return np.asarray(turned if turn is None else turned.transpose(turn), dtype=np.uint8)
