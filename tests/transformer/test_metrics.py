"""The buckets of the histogram that the gate of a rollout reads."""

from itertools import pairwise

from crowdserve_transformer.metrics import REQUEST_SECONDS, REQUEST_SECONDS_BOUNDS


def test_steps_of_the_request_time_are_at_most_ten_percent() -> None:
    """The gate allows a canary 20 % by default: coarser buckets would hide it."""
    bounds = [bound for bound in REQUEST_SECONDS_BOUNDS if bound >= 0.01]
    assert (bounds[0], bounds[-1]) == (0.01, 60.0)
    assert max(after / before for before, after in pairwise(bounds)) <= 1.1
    assert tuple(REQUEST_SECONDS._upper_bounds[:-1]) == REQUEST_SECONDS_BOUNDS
    assert len(REQUEST_SECONDS_BOUNDS) < 110  # series per protocol, in every pod
