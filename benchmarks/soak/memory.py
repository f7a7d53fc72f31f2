"""Memory of all processes of the service, every few seconds."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.process_stats import descendants, memory_bytes

SAMPLE_SECONDS = 5.0
WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at one moment, bytes; pages that several processes share are counted once.

    Attributes:
        at_seconds: Time since the start of the run.
        transformer: The transformer's own process.
        decoders: The processes below it.
        triton: Triton and its backends.
    """

    at_seconds: float
    transformer: int
    decoders: int
    triton: int

    @property
    def total(self) -> int:
        """All processes."""
        return self.transformer + self.decoders + self.triton


class MemoryLog(threading.Thread):
    """Samples until the run ends; `samples` are in order."""

    def __init__(self, transformer_pid: int, triton_pid: int, ended: threading.Event) -> None:
        super().__init__()
        self.samples: list[Sample] = []
        self._pids = (transformer_pid, triton_pid)
        self._ended = ended
        self._began = 0.0

    def run(self) -> None:
        """Sample."""
        self._began = time.monotonic()
        while not self._ended.wait(SAMPLE_SECONDS):
            self.samples.append(self._sample())

    def _sample(self) -> Sample:
        transformer, triton = self._pids
        decoders = [pid for pid in descendants(transformer) if pid != transformer]
        return Sample(
            time.monotonic() - self._began,
            memory_bytes([transformer]),
            memory_bytes(decoders),
            memory_bytes(descendants(triton)),
        )


def windows(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The samples of the first minute and of the last; of a run of under three minutes, the outer thirds."""
    if not samples:
        return [], []
    length = min(WINDOW_SECONDS, samples[-1].at_seconds / 3)
    first = [sample for sample in samples if sample.at_seconds <= length + SAMPLE_SECONDS / 2]
    last = [sample for sample in samples if sample.at_seconds >= samples[-1].at_seconds - length]
    return first, last


def median_sample(samples: Sequence[Sample]) -> Sample:
    """The medians of each figure."""
    return _summary(samples, median)


def resting_sample(samples: Sequence[Sample]) -> Sample:
    """The least of each figure: what is held between pictures, as those in progress come and go."""
    return _summary(samples, min)


def _summary(samples: Sequence[Sample], of: Callable[[Iterable[int]], float]) -> Sample:
    return Sample(
        samples[-1].at_seconds,
        *(round(of([getattr(sample, name) for sample in samples])) for name in ("transformer", "decoders", "triton")),
    )
