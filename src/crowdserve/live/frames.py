"""A frame of a camera: when it was taken, and how to have it as a JPEG file and as a small grey picture."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from crowdserve.images import MAX_PIXELS, Rgb, opened

Grey = npt.NDArray[np.uint8]
"""uint8 [height, width]."""

Pause = Callable[[float], object]
"""Waits for some seconds, as `time.sleep`; it may raise `SourceEnded` to end a source that waits."""

MAX_SIDE_PX = 2048
"""Longest side of a frame that is sent: the service scales larger ones down itself."""

_JPEG_QUALITY = 90
_GREY_SIZE = (320, 180)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame; it is decoded and encoded only if it is counted.

    Attributes:
        at: When it was read, seconds since the epoch.
        number: How many frames of this source came before it.
        jpeg: Makes it a JPEG file, upright.
    """

    at: float
    number: int
    jpeg: Callable[[], bytes]


def still_frame(at: float, number: int, file: bytes) -> Frame:
    """A frame that came as an image file."""
    return Frame(at, number, lambda: file)


def to_jpeg(pixels: Rgb) -> bytes:
    """A JPEG file of a picture."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def small_grey(file: bytes) -> Grey:
    """A small grey version of a picture, for `health`.

    Raises:
        InvalidImage, ImageTooLarge: If the file is no picture.
    """
    with opened(file, max_pixels=MAX_PIXELS) as found:
        picture = found.file
        picture.draft("L", _GREY_SIZE)
        return np.asarray(picture.convert("L").resize(_GREY_SIZE, Image.Resampling.BOX))
