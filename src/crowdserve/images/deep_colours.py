"""Colours of 16-bit samples, of which Pillow keeps the high byte: too little where a camera used 10 or 12 of the bits.

The file is decoded twice then: read in the other byte order, the low bytes stand where Pillow takes the high ones from.
"""

import re
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from crowdserve.errors import InvalidImage
from crowdserve.images.planes import is_by_planes
from crowdserve.images.samples import Range, SampleMeaning, range_of_bits
from crowdserve.images.strips import by_strips, strips

_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_TWICE_DECODED = ("RGB;16", "RGBX;16", "RGBA;16", "CMYK;16")
_ONCE_DECODED = ("LA;16", "RGBa;16")

_DEEP_PLANE = re.compile(r"[RGBAXCMYK];16[BLN]")

_ENOUGH = 2**14
"""Largest values from here up leave six bits or more to the high byte."""


def deep_layout(file: ImageFile.ImageFile) -> str | None:
    """How the pixels of an opened file with 16-bit colours are stored, as Pillow calls it; None for any other file."""
    found = {_layout_of(tile) for tile in file.tile}
    if found and all(map(_DEEP_PLANE.fullmatch, found)):
        return f"{file.mode};16{found.pop()[-1]}"
    layout = found.pop() if len(found) == 1 else ""
    return layout if layout[:-1] in (*_TWICE_DECODED, *_ONCE_DECODED) else None


def eight_bit_colours(
    high: Image.Image, layout: str, again: Callable[[], ImageFile.ImageFile], meaning: SampleMeaning
) -> Image.Image:
    """A loaded image of 16-bit colours, scaled to eight bits by the range that they use.

    Args:
        high: The high bytes, as Pillow decoded them.
        layout: Of the file.
        again: Opens the file again.
        meaning: What its file says of its samples.

    Raises:
        InvalidImage: If the low bytes would be needed and cannot be had.
    """
    low_value, white = _range_of(high, meaning)
    if white >= _ENOUGH:
        return high
    file = again()
    is_read_by_libtiff = file.tile[0].codec_name == "libtiff"  # which reads planes in the order of this machine
    if layout[:-1] not in _TWICE_DECODED or (is_read_by_libtiff and is_by_planes(file)):
        raise _too_few(white)
    file.tile = [_in_other_order(tile) for tile in file.tile]
    file.load()
    return _joined(high, file, low_value, white)


def check_high_bytes(high: Image.Image, meaning: SampleMeaning) -> None:
    """Check that the high bytes of 16-bit colours are enough.

    Args:
        high: A loaded image of them.
        meaning: What its file says of its samples.

    Raises:
        InvalidImage: If the low bytes would be needed.
    """
    _, white = _range_of(high, meaning)
    if white < _ENOUGH:
        raise _too_few(white)


def _too_few(white: float) -> InvalidImage:
    return InvalidImage(f"the picture uses {white:,.0f} of 65,535 values of 16-bit samples; save it with 8 bits")


def _range_of(high: Image.Image, meaning: SampleMeaning) -> Range:
    largest, stated = _largest(high) * 256 + 255, meaning.stated
    return stated if stated and largest - 255 <= stated[1] else range_of_bits(largest)


def _joined(high: Image.Image, low: Image.Image, black: float, white: float) -> Image.Image:
    tops = iter(strips(high))

    def convert(strip: Image.Image) -> Image.Image:
        values: npt.NDArray[np.float32] = np.asarray(strip, dtype=np.float32) * 256
        values += np.asarray(low.crop(next(tops)))
        scaled = np.clip(np.rint((values - black) * (255.0 / (white - black))), 0, 255)
        return Image.fromarray(scaled.astype(np.uint8), strip.mode)

    joined = by_strips(high, high.mode, convert)
    joined.info = high.info
    return joined


def _largest(image: Image.Image) -> int:
    """The largest value of any colour, opacity aside."""
    colours = [band for band in image.getbands() if band != "A"]
    return max(int(np.asarray(image.getchannel(band)).max()) for band in colours)


def _layout_of(tile: "ImageFile._Tile") -> str:
    layout = tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0]
    return layout if isinstance(layout, str) else ""


def _in_other_order(tile: "ImageFile._Tile") -> "ImageFile._Tile":
    layout = _layout_of(tile)
    other = layout[:-1] + _OTHER_ORDER[layout[-1]]
    return tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other)
