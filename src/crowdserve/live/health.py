"""Pictures that show nothing: black, covered, frozen. They are reported as such and not counted as empty."""

import numpy as np

from crowdserve.live.frames import Grey

COUNTABLE, BLACK, COVERED, FROZEN = "countable", "black", "covered", "frozen"

_DARK = 24.0
"""Mean brightness, of 255, below which a picture without contrast is black."""

_FLAT = 6.0
"""Standard deviation of brightness, of 255, below which a picture shows nothing: a hand, a bag, paint."""

_BLURRED_FLAT, _BLURRED = 28.0, 0.9
"""A lens that something touches shows soft light and shade: more contrast, but next to none between neighbours."""


class Health:
    """Of one camera.

    Args:
        frozen_after_seconds: How long the same picture may come.
    """

    def __init__(self, frozen_after_seconds: float) -> None:
        self._frozen_after = frozen_after_seconds
        self._last: Grey | None = None
        self._same_since = 0.0

    def judge(self, picture: Grey, at: float) -> str:
        """What a picture is: countable, black, covered or frozen.

        Args:
            picture: A small grey version, always of the same size.
            at: When, seconds of a clock that is never set.
        """
        if self._last is None or not np.array_equal(picture, self._last):
            self._last, self._same_since = picture, at
        contrast = float(picture.std())
        if contrast < _FLAT:
            return BLACK if float(picture.mean()) < _DARK else COVERED
        if contrast < _BLURRED_FLAT and _detail(picture) < _BLURRED:
            return COVERED
        return FROZEN if at - self._same_since >= self._frozen_after else COUNTABLE

    def forget(self) -> None:
        """Start anew: the next picture is of a new connection."""
        self._last = None


def _detail(picture: Grey) -> float:
    """Mean difference between neighbours, of 255."""
    values = picture.astype(np.int16)
    return float((np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean()) / 2)
