"""The clock of a run."""

import pytest

from training.gpu.clock import Clock


def test_time_of_earlier_sessions_counts_and_held_time_does_not() -> None:
    now = [100.0]
    clock = Clock(minutes=1, spent_seconds=15, now=lambda: now[0])
    assert (clock.seconds, clock.progress) == (15, 0.25)
    now[0] += 15
    with clock.stopped():
        now[0] += 1000
        assert clock.seconds == 30, "it stands still"
        with clock.stopped():
            now[0] += 1000
    with pytest.raises(IndexError), clock.stopped():
        now[0] += now[1]
    now[0] += 0
    assert clock.progress == 0.5
    with clock.stopped(False):
        now[0] += 30
    assert clock.progress == 1
