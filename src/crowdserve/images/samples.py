"""Samples of more than eight bits to eight: by the range that the file states, or by the bits that they use.

Cameras write 10 or 12 bits into samples of 16. Taken for 16 bits, such a photo is nearly black.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from crowdserve.errors import InvalidImage
from crowdserve.images.strips import by_strips, strips

Range = tuple[float, float]
"""The values that become black and white."""

_MOST = 1e30
_DEPTHS = (8, 10, 12, 14, 16, 24, 32)
"""Bits that sensors and files have."""

_OVERSHOOT = 1 + 1 / 64


@dataclass(frozen=True, slots=True)
class SampleMeaning:
    """What a file says of its samples.

    Attributes:
        stated: The range that they have; passed over if a value is above it.
        is_white_at_zero: Whether zero is white.
        is_unsigned: Whether samples of 32 bits have no sign, which Pillow gives them.
        nodata: The value that stands for none; it is black.
    """

    stated: Range | None = None
    is_white_at_zero: bool = False
    is_unsigned: bool = False
    nodata: float | None = None

    def values(self, image: Image.Image) -> npt.NDArray[np.generic]:
        """The samples of a grey image of mode I;16, I or F."""
        values: npt.NDArray[np.generic] = np.asarray(image)
        return values.view(np.uint32) if self.is_unsigned and image.mode == "I" else values


def eight_bit_greys(image: Image.Image, meaning: SampleMeaning) -> Image.Image:
    """A grey image of mode I;16, I or F in mode L."""
    found, stated = _values_of(image, meaning), meaning.stated
    low, high = stated if stated and found[1] <= stated[1] else _used(found, is_float=image.mode == "F")
    black, white = (high, low) if meaning.is_white_at_zero else (low, high)
    return by_strips(image, "L", _scaled_from(black, white, meaning))


def range_of_bits(largest: float) -> Range:
    """Black and white of whole numbers: zero, and what the fewest usual bits hold that the largest value needs.

    Compression with losses may carry a few values a little beyond them.
    """
    bits = next((depth for depth in _DEPTHS if largest < 2**depth * _OVERSHOOT), _DEPTHS[-1])
    return 0.0, 2.0**bits - 1


def _used(found: Range, *, is_float: bool) -> Range:
    """The range of an image that states none; floats and signed numbers, which have no agreed one, have their own."""
    return found if is_float or found[0] < 0 else range_of_bits(found[1])


def _values_of(image: Image.Image, meaning: SampleMeaning) -> Range:
    """The least and the largest value, but for those that stand for none.

    Raises:
        InvalidImage: If there are no others.
    """
    lows, highs = [], []
    for strip in strips(image):
        values = meaning.values(image.crop(strip))
        finite = values[_are_there(values, meaning)]
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    if not lows:
        raise InvalidImage("the picture has no values: all of its samples are NaN, infinite or stand for no data")
    return min(lows), max(highs)


def _are_there(values: npt.NDArray[np.generic], meaning: SampleMeaning) -> npt.NDArray[np.bool_]:
    """Which samples have a value. Floats beyond what any sensor measures stand for none, too: a common sign for it."""
    there: npt.NDArray[np.bool_] = np.isfinite(values)
    if meaning.nodata is not None:
        there &= values != np.float64(meaning.nodata)  # not of the samples' type, which may not hold it
    return there & (np.abs(values) < _MOST) if values.dtype.kind == "f" else there


def _scaled_from(black: float, white: float, meaning: SampleMeaning) -> Callable[[Image.Image], Image.Image]:
    factor = 255.0 / (white - black or 1.0)

    def convert(strip: Image.Image) -> Image.Image:
        found = meaning.values(strip)
        values = np.where(_are_there(found, meaning), (found.astype(np.float64) - black) * factor, 0)
        return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))

    return convert
