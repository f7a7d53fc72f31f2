"""Where the time of one request goes: nanoseconds by stage, for the request and for each of its photos."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Clock:
    """The time of a request, or of one photo.

    Attributes:
        spent_ns: Nanoseconds by stage, as `metrics.stage` names them.
        total_ns: Nanoseconds from its start to its end; waiting is what no stage has.
        photos: The clocks of a request's photos, which may run at the same time.
    """

    def __init__(self) -> None:
        self.spent_ns: Counter[str] = Counter()
        self.total_ns = 0
        self.photos: list[Clock] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure the block, and let the stages in it be added to this clock."""
        token, start = CLOCK.set(self), time.perf_counter_ns()
        try:
            yield
        finally:
            self.total_ns += time.perf_counter_ns() - start
            CLOCK.reset(token)


CLOCK: ContextVar[Clock | None] = ContextVar("clock", default=None)
"""The clock of what a task works on."""


@contextmanager
def photo_clock() -> Iterator[None]:
    """Measure a photo of the request that the task works on."""
    request = CLOCK.get()
    clock = Clock()
    with clock.running():
        yield
    if request is not None:
        request.photos.append(clock)


def add_stage(name: str, spent_ns: int) -> None:
    """Add the time of a stage to the clock of what the task works on, if it has one."""
    clock = CLOCK.get()
    if clock is not None:
        clock.spent_ns[name] += spent_ns
