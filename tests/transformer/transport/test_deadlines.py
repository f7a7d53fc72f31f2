"""Whose limit of time it was."""

import pytest

from crowdserve_transformer.transport.deadlines import deadline_of


@pytest.mark.parametrize(
    ("allowed", "remaining", "over"),
    [
        (1.234, 0.006, True),  # sent as 1.24 s
        (12.34, 0.06, True),  # sent as 12.4 s
        (0.2, 0.0, True),
        (0.2, 0.1, False),
        (20.0, 10.0, False),
        (None, 0.0, False),
        (60.0, 0.0, False),  # the service's own limit is shorter
    ],
)
def test_a_grpc_caller_hangs_up_as_its_time_is_over(allowed: float | None, remaining: float, over: bool) -> None:
    assert deadline_of(allowed, 30.0).explains(remaining) is over
