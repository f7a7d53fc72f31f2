"""Measure how often a rollout's gate aborts by chance on latency, and how often it finds a canary that is slower.

    python -m studies.latency_gate
    python -m studies.latency_gate --rollouts 1000 --seconds 600

Both tracks run the same software, or the canary takes a factor longer. Requests come at random times; the gate asks
every 15 s during one step, as `crowdserve rollout auto` does, and sees the transformer's buckets. The latencies are
log-normal, or those of two photo sizes. Prints a row per latency, share and number of requests: the share of rollouts
that would be aborted if the 95th percentiles alone decided, and of those that are; it takes half a minute of one core.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from crowdserve.rollout.gate import Margins
from crowdserve.rollout.prometheus import P95, REQUESTS_FOR_P95, quantile_shares
from crowdserve_transformer.metrics import REQUEST_SECONDS_BOUNDS

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

POLL_SECONDS = 15.0
BOUNDS = np.array([0.0, *REQUEST_SECONDS_BOUNDS, np.inf])


def log_normal(spread: float) -> Draw:
    """Latencies around 0.4 s; the spread is the standard deviation of their logarithm."""
    return lambda rng, n: 0.4 * np.exp(spread * rng.standard_normal(n))


def two_sizes(large: float) -> Draw:
    """Latencies of small photos around 0.3 s, and of a share of large ones around 2 s."""
    return lambda rng, n: np.where(rng.random(n) < large, 2.0, 0.3) * np.exp(0.25 * rng.standard_normal(n))


LATENCIES: Mapping[str, Draw] = MappingProxyType(
    {
        "log-normal, spread 0.5": log_normal(0.5),
        "log-normal, spread 1": log_normal(1.0),
        "two sizes, 20 % large": two_sizes(0.2),
        "two sizes, 6 % large": two_sizes(0.06),
        "two sizes, 5 % large": two_sizes(0.05),
    }
)
STEPS = ((5, 80), (5, 400), (50, 80), (50, 400), (50, 3000))
"""Share of the canary in percent, and its requests during the step."""


@dataclass(frozen=True, slots=True)
class Track:
    """What Prometheus knows of a track at each question of the gate.

    Attributes:
        requests: Number of requests so far [questions].
        p95: Their 95th percentile in seconds [questions].
        least: Lower bound of the true one [questions].
        most: Upper bound of the true one [questions].
    """

    requests: Floats
    p95: Floats
    least: Floats
    most: Floats


def quantiles(counts: Floats, shares: Floats) -> Floats:
    """Quantiles [questions] of histograms [questions, buckets], linear within a bucket, as Prometheus has them."""
    until = counts.cumsum(axis=1)
    rank = shares * until[:, -1]
    bucket = np.minimum((until < rank[:, None]).sum(axis=1), len(BOUNDS) - 3)
    row = np.arange(len(counts))
    within = np.maximum(counts[row, bucket], 1.0)
    share = (rank - until[row, bucket] + counts[row, bucket]) / within
    lower, upper = BOUNDS[bucket], BOUNDS[bucket + 1]
    found: Floats = lower + (upper - lower) * np.clip(share, 0.0, 1.0)
    return found


def observe(draw: Draw, requests: float, seconds: float, rng: np.random.Generator, factor: float = 1.0) -> Track:
    """A track's answers during a step.

    Args:
        draw: Draws latencies in seconds.
        requests: Mean number of requests.
        seconds: Length of the step.
        rng: The generator of the random numbers.
        factor: What each latency is multiplied by.
    """
    total, questions = rng.poisson(requests), int(seconds // POLL_SECONDS)
    at = np.minimum((rng.random(total) * questions).astype(int), questions - 1)
    bucket = np.searchsorted(BOUNDS, factor * draw(rng, total)) - 1
    counts = np.zeros((questions, len(BOUNDS) - 1))
    np.add.at(counts, (at, bucket), 1.0)
    counts = counts.cumsum(axis=0)
    so_far = counts.sum(axis=1)
    shares = np.array([quantile_shares(max(each, REQUESTS_FOR_P95)) for each in so_far])
    least, most = (quantiles(counts, each) for each in shares.T)
    return Track(so_far, quantiles(counts, np.full(questions, P95)), least, most)


def judge(canary: Track, stable: Track, margins: Margins) -> tuple[bool, bool]:
    """Whether the step is aborted: if the percentiles alone decide, and with their bounds, as the gate decides."""
    factor = 1 + margins.latency
    enough = np.minimum(canary.requests, stable.requests) >= REQUESTS_FOR_P95
    over = enough & (canary.p95 > stable.p95 * factor)
    return bool(over.any()), bool((over & (canary.least > stable.most * factor)).any())


def aborted_shares(
    draw: Draw, percent: int, requests: int, factor: float, rollouts: int, seconds: float
) -> tuple[float, float]:
    """Shares of rollouts that one step aborts, by both rules of `judge`."""
    rng, margins = np.random.default_rng(0), Margins()
    found = [
        judge(
            observe(draw, requests, seconds, rng, factor),
            observe(draw, requests * (100 - percent) / percent, seconds, rng),
            margins,
        )
        for _ in range(rollouts)
    ]
    alone, bounded = np.mean(found, axis=0)
    return float(alone), float(bounded)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rollouts", type=int, default=300, help="rollouts per row (%(default)s)")
    parser.add_argument("--seconds", type=float, default=600.0, help="length of a step (%(default)s)")
    flags = parser.parse_args(arguments)
    print("latency                 share requests  same: p95 alone  same  1.5 times slower  2 times slower")
    for name, draw in LATENCIES.items():
        for percent, requests in STEPS:
            rows = [
                aborted_shares(draw, percent, requests, factor, flags.rollouts, flags.seconds)
                for factor in (1.0, 1.5, 2.0)
            ]
            alone, same, slower, twice = rows[0][0], *(bounded for _, bounded in rows)
            print(
                f"{name:<23} {percent:>3} % {requests:>8} {alone:>16.1%} {same:>5.1%} {slower:>17.1%} {twice:>15.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
