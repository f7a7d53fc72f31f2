"""Times of what a device does, and the time that a run has left."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles

import torch

WARM_UPS = 2
"""Calls before the clock starts; cuDNN tries its algorithms in the first."""


class Clock:
    """The time that a run has; it starts with the object."""

    def __init__(self, seconds: float) -> None:
        self._started = time.perf_counter()
        self._seconds = seconds

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    @property
    def left(self) -> float:
        """Seconds to the end; below zero after it."""
        return self._seconds - self.spent


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one call.

    Attributes:
        median: Of calls that each start on an idle device.
        p90: Nine of ten calls took less.
        back_to_back: Mean of calls that follow each other without a pause.
        calls: Number of calls that were timed one by one.
    """

    median: float
    p90: float
    back_to_back: float
    calls: int


def measure(call: Callable[[], object], device: str, *, seconds: float, most_calls: int) -> Timing:
    """Time a call until `seconds` are over or it ran `most_calls` times, at least three; warm-up comes before."""
    for _ in range(WARM_UPS):
        call()
    times: list[float] = []
    while len(times) < 3 or (len(times) < most_calls and sum(times) < seconds):
        times.append(_seconds_of(call, device))
        if len(times) == 1 and times[0] > seconds:
            break  # one call is long enough to be exact
    middle = median(times)
    together = _seconds_of(lambda: [call() for _ in times], device) / len(times) if middle < seconds / 4 else middle
    return Timing(middle, quantiles(times, n=10)[-1] if len(times) > 1 else middle, together, len(times))


def synchronise(device: str) -> None:
    """Wait until the device has done everything."""
    if device == "cuda":
        torch.cuda.synchronize()


def _seconds_of(call: Callable[[], object], device: str) -> float:
    if device != "cuda":
        started = time.perf_counter()
        call()
        return time.perf_counter() - started
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    before.record()
    call()
    after.record()
    after.synchronize()
    return float(before.elapsed_time(after)) / 1e3
