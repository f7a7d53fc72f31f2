"""What is asked of the service: photos per second, and of which size."""

import math
import re
from dataclasses import dataclass

from crowdserve.capacity.queueing import BY_CHANCE
from crowdserve.cards import COUNTERS, cards_of
from crowdserve.errors import CapacityError
from crowdserve.images.files import MAX_PIXELS
from crowdserve.images.geometry import fitted_size, padded_side

GEOMETRY = cards_of(COUNTERS[0])[0].geometry
"""How the networks get a photo: that of all counters."""

_UNITS = {"ms": 1e-3, "s": 1.0, "": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Demand:
    """A steady load.

    Attributes:
        photos_per_second: On average, over the busiest minutes.
        width_px: Of a photo as it is sent.
        height_px: Of a photo as it is sent.
        sources: Cameras that send by the clock; `BY_CHANCE` for photos that come by chance.
    """

    photos_per_second: float
    width_px: int
    height_px: int
    sources: float = BY_CHANCE

    @property
    def sent_megapixels(self) -> float:
        """Pixels of a photo as it is sent."""
        return self.width_px * self.height_px / 1e6

    @property
    def counted_megapixels(self) -> float:
        """Pixels of a photo as the networks get it."""
        sides = fitted_size((self.width_px, self.height_px), GEOMETRY.max_side_px)
        return math.prod(padded_side(side, GEOMETRY.pad_multiple, GEOMETRY.min_side_px) for side in sides) / 1e6


def of_cameras(cameras: int, every_seconds: float, size: tuple[int, int]) -> Demand:
    """Cameras that send a photo each period, at phases of their own."""
    return Demand(cameras / every_seconds, *size, sources=cameras)


def read_size(text: str) -> tuple[int, int]:
    """Width and height of ``1920x1080``.

    Raises:
        CapacityError: If it is no such text, or the service takes no photo of that size.
    """
    match = re.fullmatch(r"([1-9]\d{0,5})[x×]([1-9]\d{0,5})", text.strip().lower())
    if match is None:
        raise CapacityError(f"--size {text!r} is no size of a photo; write width and height in px, like 1920x1080")
    width, height = int(match[1]), int(match[2])
    if width * height > MAX_PIXELS:
        raise CapacityError(f"--size {text!r} has more pixels than the {MAX_PIXELS:,} that the service takes")
    return width, height


def read_seconds(text: str, option: str) -> float:
    """Seconds of ``5s``, ``500ms``, ``2min`` or ``5``.

    Raises:
        CapacityError: If it is no such text, or not over 0.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|)", text.strip().lower())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds < math.inf:
        raise CapacityError(f"{option} {text!r} is no time over 0; write it like 5s, 500ms or 2min")
    return seconds
