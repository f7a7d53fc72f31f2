import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crowdserve.live.calibration import GroundPlane

SQUARE = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]


def seen(points: list[tuple[float, float]], height_m: float, tilt: float, focal: float) -> list[tuple[float, float]]:
    """Where a pinhole camera sees points of the ground: a camera at a height, tilted down by an angle."""
    found = []
    for x, y in points:
        depth = y * math.cos(tilt) + height_m * math.sin(tilt)
        down = height_m * math.cos(tilt) - y * math.sin(tilt)
        found.append((0.5 + focal * x / depth, 0.5 + focal * down / depth))
    return found


@given(st.floats(3, 20), st.floats(0.2, 1.2), st.floats(0.5, 2), st.floats(1, 10), st.floats(1, 10), st.integers(3, 7))
def test_areas_of_a_pinhole_camera(
    height: float, tilt: float, focal: float, width: float, depth: float, corners: int
) -> None:
    rectangle = [(-width / 2, 5.0), (width / 2, 5.0), (width / 2, 5 + depth), (-width / 2, 5 + depth)]
    ground = GroundPlane(seen(rectangle, height, tilt, focal), width, depth)
    angles = [2 * math.pi * i / corners for i in range(corners)]
    polygon = [(3 + 2 * math.cos(a), 9 + 2 * math.sin(a)) for a in angles]
    expected = corners / 2 * 4 * math.sin(2 * math.pi / corners)
    assert ground.area_m2(seen(polygon, height, tilt, focal)) == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 3), st.booleans())
def test_start_and_direction_of_the_rectangle_do_not_matter(start: int, backwards: bool) -> None:
    corners = [(0.2, 0.8), (0.8, 0.8), (0.6, 0.4), (0.4, 0.4)]
    turned = corners[start:] + corners[:start]
    sides = (4, 6) if start % 2 == 0 else (6, 4)
    if backwards:
        turned, sides = turned[::-1], sides
    area = GroundPlane(turned, *sides).area_m2(corners)
    assert area == pytest.approx(24)


def test_zone_beyond_the_horizon() -> None:
    ground = GroundPlane([(0.2, 0.8), (0.8, 0.8), (0.6, 0.5), (0.4, 0.5)], 4, 10)
    assert ground.area_m2([(0.2, 0.8), (0.8, 0.8), (0.5, 0.4)]) > 0
    with pytest.raises(ValueError, match="beyond the horizon"):
        ground.area_m2([(0.2, 0.8), (0.8, 0.8), (0.5, 0.3)])


@pytest.mark.parametrize(
    "corners",
    [
        [(0, 0), (1, 1), (1, 0), (0, 1)],
        [(0, 0), (1, 0), (2, 0), (0, 1)],
        [(0, 0), (1, 0), (0.2, 0.2), (0, 1)],
        [(0, 0), (0, 0), (1, 1), (0, 1)],
    ],
)
def test_corners_that_are_no_rectangle_of_any_ground(corners: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="no convex shape"):
        GroundPlane(corners, 1, 1)


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_picture_from_above(width: float, depth: float) -> None:
    assume(np.isfinite(width * depth))
    assert GroundPlane(SQUARE, width, depth).area_m2([(0, 0), (1, 0), (0, 1)]) == pytest.approx(width * depth / 2)
