"""Counts and durations of inference requests since the start, in the form in which Triton reports those of a model."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crowdserve_transformer.clocks import Clock

_STAGES: Mapping[str, tuple[str, ...]] = {
    "compute_input": ("parse", "decode"),
    "compute_infer": ("scene", "count"),
    "compute_output": ("heatmap", "encode"),
}
"""The stages of `metrics.stage` that each of Triton's durations is made of; all other time is spent in a queue."""

_BATCH_SIZE = 1
"""Of every execution: photos of a request are counted one by one, as each has a size of its own."""

_NANOSECONDS = 10**9


@dataclass(slots=True)
class Duration:
    """How often something was done, and how long that took together."""

    count: int = 0
    ns: int = 0

    def add(self, count: int, ns: int) -> None:
        """Add more of it."""
        self.count += count
        self.ns += ns

    def described(self) -> dict[str, int]:
        """It, as Triton's StatisticDuration."""
        return {"count": self.count, "ns": self.ns}


def _durations() -> dict[str, Duration]:
    return {name: Duration() for name in ("queue", *_STAGES)}


@dataclass(slots=True)
class Statistics:
    """The statistics of the service's model; only counts and sums, nothing of any one request."""

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    of_requests: dict[str, Duration] = field(default_factory=_durations)
    of_photos: dict[str, Duration] = field(default_factory=_durations)
    last_inference_ms: int = 0

    def add_failure(self, seconds: float) -> None:
        """Count a request that ended in an error, or whose caller hung up."""
        self._seen()
        self.fail.add(1, round(seconds * _NANOSECONDS))

    def add_success(self, clock: Clock) -> None:
        """Count a request that was answered; its durations add up to its time."""
        self._seen()
        self.success.add(1, clock.total_ns)
        for name, spent_ns in _shares(clock).items():
            self.of_requests[name].add(1, spent_ns)
        for photo in clock.photos:
            for name, spent_ns in _phases(photo).items():
                self.of_photos[name].add(1, spent_ns)

    def described(self, name: str, version: str) -> dict[str, Any]:
        """They, as Triton's ModelStatistics of a model of that name."""
        photos = self.of_photos["compute_infer"].count
        batch = {name: duration.described() for name, duration in self.of_photos.items() if name in _STAGES}
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_inference_ms,
            "inference_count": photos,
            "execution_count": photos,
            "inference_stats": {
                "success": self.success.described(),
                "fail": self.fail.described(),
                **{name: duration.described() for name, duration in self.of_requests.items()},
                "cache_hit": Duration().described(),
                "cache_miss": Duration().described(),
            },
            "response_stats": {},
            "batch_stats": [{"batch_size": _BATCH_SIZE, **batch}] if photos else [],
            "memory_usage": [],
        }

    def _seen(self) -> None:
        self.last_inference_ms = time.time_ns() // 10**6


def _phases(clock: Clock) -> dict[str, int]:
    """Nanoseconds of a clock by Triton's names; the queue has what no stage has."""
    phases = {name: sum(clock.spent_ns[stage] for stage in stages) for name, stages in _STAGES.items()}
    return {"queue": max(0, clock.total_ns - sum(phases.values())), **phases}


def _shares(clock: Clock) -> dict[str, int]:
    """Nanoseconds of a request; photos that ran at the same time share the time that they took together."""
    shares = _phases(clock)
    of_photos = [_phases(photo) for photo in clock.photos]
    together = sum(sum(phases.values()) for phases in of_photos)
    waited, shares["queue"] = shares["queue"], 0
    for name in shares:
        spent_ns = sum(phases[name] for phases in of_photos)
        shares[name] += waited * spent_ns // together if together else 0
    shares["queue"] += clock.total_ns - sum(shares.values())
    return shares
