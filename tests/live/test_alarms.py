from hypothesis import given
from hypothesis import strategies as st

from crowdserve.live.alarms import Alarm, Change


def test_raised_after_a_while_and_cleared_clearly_below() -> None:
    alarm = Alarm(limit=100, for_seconds=10, hysteresis=0.1)
    values = [(0, 99), (5, 100), (12, 130), (14, 120), (15, 150), (20, 95), (25, 91), (30, 89), (31, 100), (41, 100)]
    changes = {at: alarm.update(value, at) for at, value in values}
    assert {at: change for at, change in changes.items() if change} == {
        15: Change.RAISED,
        30: Change.CLEARED,
        41: Change.RAISED,
    }


def test_one_value_below_starts_the_time_anew() -> None:
    alarm = Alarm(limit=10, for_seconds=5)
    assert [alarm.update(value, at) for at, value in enumerate([11, 11, 11, 9, 11, 11, 11, 11, 11])] == [None] * 9
    assert alarm.update(11, 9) is Change.RAISED


def test_a_gap_neither_clears_nor_resets() -> None:
    alarm = Alarm(limit=10, for_seconds=60)
    assert alarm.update(11, 0) is None
    assert alarm.update(11, 600) is Change.RAISED


def test_no_time_at_all() -> None:
    assert Alarm(limit=10).update(10, 0) is Change.RAISED


@given(st.lists(st.floats(0, 200), max_size=60), st.floats(0, 5), st.floats(0, 0.9))
def test_raised_and_cleared_in_turn(values: list[float], for_seconds: float, hysteresis: float) -> None:
    alarm = Alarm(100, for_seconds, hysteresis)
    changes = [change for at, value in enumerate(values) if (change := alarm.update(value, at))]
    assert changes == [Change.RAISED, Change.CLEARED] * (len(changes) // 2) + [Change.RAISED] * (len(changes) % 2)
    assert (alarm.raised_at is not None) == (len(changes) % 2 == 1)
