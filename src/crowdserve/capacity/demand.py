"""What is asked of the service: photos per second, and of which size."""

import math
import re
from dataclasses import dataclass

from crowdserve.capacity.queueing import BY_CHANCE
from crowdserve.errors import CapacityError
from crowdserve.images.geometry import fitted_size

MAX_SIDE_PX, PAD_MULTIPLE = 2048, 8
"""How the networks get a photo: fitted into this side, and padded to this multiple."""

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
        sides = fitted_size((self.width_px, self.height_px), MAX_SIDE_PX)
        return math.prod(-(-side // PAD_MULTIPLE) * PAD_MULTIPLE for side in sides) / 1e6


def of_cameras(cameras: int, every_seconds: float, size: tuple[int, int]) -> Demand:
    """Cameras that send a photo each period, at phases of their own."""
    return Demand(cameras / every_seconds, *size, sources=cameras)


def read_size(text: str) -> tuple[int, int]:
    """Width and height of ``1920x1080``.

    Raises:
        CapacityError: If it is no such text.
    """
    match = re.fullmatch(r"([1-9]\d{0,5})[x×]([1-9]\d{0,5})", text.strip().lower())
    if match is None:
        raise CapacityError(f"--size {text!r} is no size of a photo; write width and height in px, like 1920x1080")
    return int(match[1]), int(match[2])


def read_seconds(text: str, option: str) -> float:
    """Seconds of ``5s``, ``500ms``, ``2min`` or ``5``.

    Raises:
        CapacityError: If it is no such text, or not over 0.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|)", text.strip().lower())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if seconds <= 0:
        raise CapacityError(f"{option} {text!r} is no time over 0; write it like 5s, 500ms or 2min")
    return seconds
