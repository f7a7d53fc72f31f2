"""The formulas of waiting, against simulations and against what must hold of every queue."""

import heapq
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.capacity.queueing import BY_CHANCE, Queue, erlang_c


def simulated_waits(arrivals: np.ndarray, service_seconds: float | np.ndarray, servers: int) -> np.ndarray:
    """The wait of each arrival, first come, first served."""
    free = [0.0] * servers
    waits = []
    for arrival, seconds in zip(arrivals, np.broadcast_to(service_seconds, arrivals.shape), strict=True):
        start = max(arrival, heapq.heappop(free))
        heapq.heappush(free, start + seconds)
        waits.append(start - arrival)
    return np.array(waits[len(waits) // 10 :])


@pytest.mark.parametrize(("servers", "busy"), [(1, 0.7), (1, 0.9), (4, 0.8), (12, 0.9)])
def test_arrivals_by_chance_wait_as_in_a_simulation(servers: int, busy: float) -> None:
    queue = Queue(busy * servers / 0.1, 0.1, servers)
    gaps = np.random.default_rng(1).exponential(1 / queue.arrivals_per_second, 100_000)
    waits = simulated_waits(np.cumsum(gaps), 0.1, servers)
    assert queue.wait_seconds(0.95) == pytest.approx(np.quantile(waits, 0.95), rel=0.15)
    assert queue.mean_wait_seconds == pytest.approx(waits.mean(), rel=0.15)


@pytest.mark.parametrize("parts", [1, 2, 5], ids="variability {}".format)
@pytest.mark.parametrize(("servers", "busy"), [(1, 0.8), (2, 0.75)])
def test_times_that_vary_wait_as_in_a_simulation(servers: int, busy: float, parts: int) -> None:
    """A service of some parts, each of a time by chance: its variability is one over their number."""
    queue = Queue(busy * servers / 0.1, 0.1, servers, variability=1 / parts)
    random = np.random.default_rng(3)
    gaps = random.exponential(1 / queue.arrivals_per_second, 100_000)
    waits = simulated_waits(np.cumsum(gaps), random.gamma(parts, 0.1 / parts, len(gaps)), servers)
    assert queue.wait_seconds(0.95) == pytest.approx(np.quantile(waits, 0.95), rel=0.15)
    assert queue.mean_wait_seconds == pytest.approx(waits.mean(), rel=0.15)


@pytest.mark.parametrize(("cameras", "busy"), [(50, 0.9), (200, 0.9), (500, 0.95)])
def test_cameras_wait_as_in_a_simulation(cameras: int, busy: float) -> None:
    period = cameras * 0.1 / busy
    queue = Queue(cameras / period, 0.1, 1, sources=cameras)
    random = np.random.default_rng(2)
    waits = []
    for _ in range(60):
        phases = np.sort(random.uniform(0, period, cameras))
        waits.append(simulated_waits(np.concatenate([phases + period * turn for turn in range(4)]), 0.1, 1))
    assert queue.wait_seconds(0.95) == pytest.approx(np.quantile(np.concatenate(waits), 0.95), rel=0.15)


@given(servers=st.integers(1, 400), busy=st.floats(0.01, 0.999), sources=st.sampled_from([20.0, 1e4, BY_CHANCE]))
def test_more_servers_and_a_better_order_never_wait_longer(servers: int, busy: float, sources: float) -> None:
    queue = Queue(busy * servers, 1.0, servers, sources)
    more = Queue(busy * servers, 1.0, servers + 1, sources)
    by_chance = Queue(busy * servers, 1.0, servers)
    for share in (0.5, 0.95, 0.999):
        assert more.wait_seconds(share) <= queue.wait_seconds(share) + 1e-12
        assert queue.wait_seconds(share) <= by_chance.wait_seconds(share) + 1e-12
    assert queue.mean_wait_seconds <= by_chance.mean_wait_seconds * (1 + 1e-9)


@given(servers=st.integers(1, 50), busy=st.floats(0.05, 0.98), variability=st.sampled_from([0.0, 0.5]))
def test_the_mean_is_that_of_the_distribution(servers: int, busy: float, variability: float) -> None:
    queue = Queue(busy * servers, 1.0, servers, 300.0, variability)
    slack = 1 - queue.utilisation
    x = np.linspace(0, 90 / slack**0.5, 200_001)
    curve = queue.waiting_share * np.exp(-2 * x * (x / 300 + slack) / (1 + variability))
    integral = (curve[:-1] + curve[1:]).sum() / 2 * (x[1] - x[0])
    assert queue.mean_wait_seconds == pytest.approx(integral / servers, rel=1e-3)


def test_one_server_waits_for_its_own_share() -> None:
    assert erlang_c(1, 0.6) == pytest.approx(0.6)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)  # 2ρ² / (1 + ρ)
    assert erlang_c(3, 3.0) == 1.0


def test_cameras_with_a_server_each_never_wait() -> None:
    assert Queue(3 / 5, 4.0, 3, sources=3).wait_seconds(0.95) == 0
    assert Queue(3 / 5, 4.0, 3, sources=3).mean_wait_seconds == 0
    assert 0 < Queue(4 / 5, 2.0, 2, sources=4).wait_seconds(0.999) <= 2.0


def test_a_queue_that_grows_is_waited_in_for_ever() -> None:
    assert Queue(10, 0.2, 2).wait_seconds(0.95) == math.inf
    assert Queue(10, 0.2, 2).mean_wait_seconds == math.inf
