"""Waiting times before another try: doubled each time up to a limit, with jitter.

A random part keeps cameras that were lost together from coming back in step.
Source: M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015.
"""

import random
from collections.abc import Callable


class BackOff:
    """Waiting times.

    Args:
        first_seconds: Longest wait before the second try.
        most_seconds: Longest wait of all.
        draw: Gives numbers from 0 to 1.
    """

    def __init__(
        self, first_seconds: float = 1.0, most_seconds: float = 60.0, draw: Callable[[], float] = random.random
    ) -> None:
        self._first = first_seconds
        self._most = most_seconds
        self._draw = draw
        self._tries = 0

    def next_seconds(self) -> float:
        """How long to wait now: between half and all of this try's limit."""
        limit = min(self._most, self._first * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return limit * (1 + self._draw()) / 2

    def reset(self) -> None:
        """Start with short waits again, after a success."""
        self._tries = 0
