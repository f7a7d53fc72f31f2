import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.live.levels import DEFAULT_LEVELS, LEVELS, level_of

densities = st.floats(0, 10)


def test_fruin_in_people_per_square_metre() -> None:
    """Fruin gives square feet a person: 10 and 5 for walkways, 3 where people touch."""
    square_feet = 0.3048**2
    for name, feet in {"busy": 10, "dense": 5, "critical": 3}.items():
        assert DEFAULT_LEVELS[name] == pytest.approx(1 / (feet * square_feet), abs=0.03)


@given(densities, st.sampled_from(LEVELS))
def test_level_is_reached_at_once_and_left_late(density: float, before: str) -> None:
    level = level_of(density, DEFAULT_LEVELS, before)
    fresh = level_of(density, DEFAULT_LEVELS)
    assert LEVELS.index(level) >= LEVELS.index(fresh)
    assert LEVELS.index(level) <= max(LEVELS.index(before), LEVELS.index(fresh))
    if level != fresh:
        assert density >= DEFAULT_LEVELS[level] * 0.9
    assert level_of(density, DEFAULT_LEVELS, level) == level


@given(densities, densities)
def test_more_people_are_no_lower_level(one: float, other: float) -> None:
    levels = [LEVELS.index(level_of(density, DEFAULT_LEVELS)) for density in sorted((one, other))]
    assert levels == sorted(levels)


def test_a_site_has_its_own() -> None:
    starts = {"busy": 0.1, "dense": 0.2, "critical": 0.3}
    assert [level_of(x, starts) for x in (0.05, 0.1, 0.25, 9)] == ["free", "busy", "dense", "critical"]
