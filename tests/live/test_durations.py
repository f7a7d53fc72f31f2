import pytest

from crowdserve.live.durations import seconds_of


@pytest.mark.parametrize(
    ("value", "seconds"), [(5, 5), (0.5, 0.5), ("5", 5), ("5s", 5), ("2 m", 120), ("1.5h", 5400), ("30d", 2_592_000)]
)
def test_durations(value: object, seconds: float) -> None:
    assert seconds_of(value) == seconds


@pytest.mark.parametrize("value", ["", "5 minutes", "-5s", "s", True, None, float("nan"), float("inf"), [5]])
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 5s"):
        seconds_of(value)
