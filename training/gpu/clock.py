"""The clock of a run: its time in training, over all sessions, as a share of what it was given."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Runs from its making on."""

    def __init__(self, minutes: float, spent_seconds: float = 0.0, now: Callable[[], float] = time.monotonic) -> None:
        """Start.

        Args:
            minutes: Length of the run.
            spent_seconds: Time that earlier sessions spent.
            now: Seconds since some moment.
        """
        self._length, self._now, self._began = 60 * minutes, now, now() - spent_seconds
        self._held_at: float | None = None

    @property
    def seconds(self) -> float:
        """Time spent."""
        return (self._now() if self._held_at is None else self._held_at) - self._began

    @property
    def progress(self) -> float:
        """Time spent as a share of the run's length, 1 at its end."""
        return self.seconds / self._length

    @contextmanager
    def stopped(self, really: bool = True) -> Iterator[None]:
        """Hold the clock while the block runs, unless told otherwise."""
        if not really or self._held_at is not None:
            yield
            return
        self._held_at = self._now()
        try:
            yield
        finally:
            self._began += self._now() - self._held_at
            self._held_at = None
