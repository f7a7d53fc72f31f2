"""The simulation of the gate against the stand-in for Prometheus, and its two extremes."""

import numpy as np
import pytest

from crowdserve.rollout.gate import Margins
from studies.latency_gate import BOUNDS, aborted_shares, judge, log_normal, main, observe, quantiles
from tests.support.cluster.prometheus_server import histogram_quantile


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9033, 0.95, 0.9967])
def test_quantiles_are_those_of_prometheus(share: float) -> None:
    values = log_normal(1.0)(np.random.default_rng(3), 200)
    counts = np.bincount(np.searchsorted(BOUNDS, values) - 1, minlength=len(BOUNDS) - 1)
    (found,) = quantiles(counts[None].astype(float), np.array([share]))
    assert found == pytest.approx(histogram_quantile(share, list(values)))


def test_slow_canary_is_found_and_an_equal_one_is_left() -> None:
    draw = log_normal(0.5)
    assert aborted_shares(draw, 5, 400, 3.0, 20, 600.0) == (1.0, 1.0)
    alone, bounded = aborted_shares(draw, 50, 400, 1.0, 60, 600.0)
    assert bounded < 0.05 < alone


def test_too_few_requests_decide_nothing() -> None:
    rng, draw = np.random.default_rng(1), log_normal(0.1)
    few, many = observe(draw, 20, 600.0, rng, 9.0), observe(draw, 400, 600.0, rng)
    assert judge(few, many, Margins()) == (False, False)
    assert judge(many, few, Margins()) == (False, False)


def test_command_prints_a_row_per_case(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--rollouts", "1", "--seconds", "60"])
    assert len(capsys.readouterr().out.splitlines()) == 26
