import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.live.averaging import RobustAverage

counts = st.lists(st.floats(0, 1e5), min_size=1, max_size=20)


@given(counts, st.integers(1, 9))
def test_median_lies_among_the_last_counts(people: list[float], frames: int) -> None:
    average = RobustAverage(frames)
    estimate = [average.add(each) for each in people][-1]
    last = people[-frames:]
    assert min(last) <= estimate.people <= max(last)
    assert estimate.frames == len(last)


@given(st.floats(0, 1e4), st.floats(0, 1e6))
def test_one_wrong_frame_changes_nothing(people: float, wrong: float) -> None:
    average = RobustAverage(5)
    for each in (people, people, wrong, people, people):
        estimate = average.add(each)
    assert (estimate.people, estimate.spread) == (people, 0)


def test_spread_is_a_standard_deviation() -> None:
    average = RobustAverage(5)
    spreads = [average.add(each).spread for each in (8.0, 9.0, 10.0, 11.0, 12.0)]
    assert spreads[:2] == [None, None]
    assert spreads[-1] == pytest.approx(1.4826)


def test_a_gap_starts_anew() -> None:
    average = RobustAverage(5)
    average.add(100)
    average.forget()
    assert average.add(3) == RobustAverage(5).add(3)
