"""Prometheus metrics, served at /metrics beside those of the KServe SDK."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from crowdserve.protocol.headers import TRACK_HEADER
from crowdserve_transformer.clocks import add_stage

REQUEST_SECONDS_BOUNDS = (0.001, 0.0025, 0.005, *(round(0.01 * 10 ** (k / 25), 5) for k in range(95)), 60.0)
"""25 buckets per decade from 10 ms to 60 s: a quantile is known to 10 %, as the gate of a rollout needs it."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

REQUESTS = Counter(
    "crowdserve_requests", "Inference requests answered", ["model", "protocol", "route", "status", "traffic"]
)
REQUEST_SECONDS = Histogram(
    "crowdserve_request_seconds",
    "Time from a whole request to its answer, requests of testers left out",
    ["protocol"],
    buckets=REQUEST_SECONDS_BOUNDS,
)
IN_FLIGHT = Gauge("crowdserve_requests_in_flight", "Inference requests being answered")
IMAGES = Counter("crowdserve_pictures", "Photos counted, by the route taken", ["route"])
STAGE_SECONDS = Histogram(
    "crowdserve_stage_seconds",
    "Time spent in one stage of a request: parse (bytes to tensors), decode (a photo's bytes to pixels), scene, "
    "count, heatmap, encode (tensors to bytes)",
    ["stage"],
    buckets=_SECONDS,
)
TRITON_SECONDS = Histogram(
    "crowdserve_triton_seconds", "Time of a call to Triton", ["model", "outcome"], buckets=_SECONDS
)
TRITON_INPUTS = Counter(
    "crowdserve_triton_inputs", "Calls of models that Triton answered, by the way that the input took", ["way"]
)
TRITON_BACKENDS = Gauge(
    "crowdserve_triton_backends", "Tritons behind the predictor's host name, by whether photos go to them", ["state"]
)
TRITON_RETRIES = Counter("crowdserve_triton_retries", "Photos counted once more because a Triton went away")
MEGAPIXELS = Histogram(
    "crowdserve_picture_megapixels", "Size of photos as sent", buckets=(0.1, 0.3, 0.5, 1, 2, 4, 8, 12, 24, 50, 100, 200)
)
PEOPLE = Histogram(
    "crowdserve_picture_people", "People counted in a photo", buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
)

PUBLIC, TESTER = "public", "tester"
"""Kinds of traffic. The gate of a rollout judges by the public's: testers send what they like to a canary."""


def traffic_of(header_names: Iterable[str]) -> str:
    """`TESTER` if a request carries the header that chooses a track, whatever its value.

    Args:
        header_names: Names of its headers, in any case.
    """
    return TESTER if any(name.lower() == TRACK_HEADER for name in header_names) else PUBLIC


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Measure a stage, whether or not it succeeds, also on the clock of the request."""
    start = time.perf_counter_ns()
    try:
        yield
    finally:
        spent_ns = time.perf_counter_ns() - start
        STAGE_SECONDS.labels(name).observe(spent_ns / 1e9)
        add_stage(name, spent_ns)
