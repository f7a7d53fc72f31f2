from hypothesis import given
from hypothesis import strategies as st

from crowdserve.live.backoff import BackOff


def test_doubled_up_to_the_limit_and_short_again_after_a_success() -> None:
    backoff = BackOff(1, 60, draw=lambda: 1.0)
    assert [backoff.next_seconds() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.next_seconds() == 1


@given(st.floats(0, 1), st.integers(1, 2000))
def test_jitter_is_at_most_half(drawn: float, tries: int) -> None:
    backoff, longest = BackOff(1, 60, draw=lambda: drawn), BackOff(1, 60, draw=lambda: 1.0)
    for _ in range(tries):
        assert 0.5 <= backoff.next_seconds() / longest.next_seconds() <= 1
