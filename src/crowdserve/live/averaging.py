"""A robust average of the last counts: the median, which one wrong frame cannot move far, and its spread."""

from collections import deque
from dataclasses import dataclass

import numpy as np

_NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The people in a zone.

    Attributes:
        people: Median of the last counts.
        spread: Their median absolute deviation, scaled to a standard deviation; None for fewer than three.
        frames: How many counts there are.
    """

    people: float
    spread: float | None
    frames: int


class RobustAverage:
    """Of one zone.

    Args:
        frames: Counts that it is taken over.
    """

    def __init__(self, frames: int) -> None:
        self._counts: deque[float] = deque(maxlen=frames)

    def add(self, people: float) -> Estimate:
        """Take a count in; returns the average with it."""
        self._counts.append(people)
        counts = np.array(self._counts)
        middle = float(np.median(counts))
        spread = _NORMAL * float(np.median(np.abs(counts - middle))) if len(counts) > 2 else None
        return Estimate(middle, spread, len(counts))

    def forget(self) -> None:
        """Start anew, after a gap."""
        self._counts.clear()
