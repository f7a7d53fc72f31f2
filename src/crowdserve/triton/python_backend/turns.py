"""Networks take turns on the cores: each has a process of its own, and all together more threads than there are cores.

As many networks run at once as have cores for their threads, at least one. A place is a locked file, so the kernel
frees it when its process dies. One more lock makes a queue: who waits for a place holds it, and a network that has just
run stands behind those that waited.
"""

import fcntl
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""A container's limit of processor time: microseconds, or `max`, and the period that they are for."""

_POLL_SECONDS = 0.001
"""Only the first in the queue looks for a free place."""


def usable_cores(limit: Path = CPU_LIMIT) -> int:
    """Cores that this process may use, rounded up where a container may use a part of one."""
    cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no container, or one of an older kernel
        quota, period = map(int, limit.read_text().split())
        return min(cores, max(1, math.ceil(quota / period)))
    return cores


class Turns:
    """The turns of this process among those that name the same files.

    Args:
        files: Beginning of the names of the locked files; they are made where they are missing.
        places: Networks that may run at once.
    """

    def __init__(self, files: Path, places: int) -> None:
        self._queue = _opened(f"{files}-queue")
        self._places = [_opened(f"{files}-{number}") for number in range(places)]

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a place, and keep it while the block runs."""
        with _locked(self._queue):
            place = self._free_place()
        try:
            yield
        finally:
            fcntl.flock(place, fcntl.LOCK_UN)

    def _free_place(self) -> int:
        if len(self._places) == 1:
            fcntl.flock(self._places[0], fcntl.LOCK_EX)
            return self._places[0]
        while True:
            for place in self._places:
                with suppress(BlockingIOError):
                    fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return place
            time.sleep(_POLL_SECONDS)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


@contextmanager
def _locked(file: int) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
