"""People in polygons: compared with an oracle that clips each cell, and checked on partitions of the picture."""

import math
import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.errors import InvalidRequest
from crowdserve.images import Density, FittedImage
from crowdserve.protocol.zones import Corner, make_zone
from crowdserve_transformer.counting.density_maps import CountMap
from crowdserve_transformer.counting.zone_counts import DensityField, count_zones

seeds = st.integers(0, 2**32)
sides_px = st.tuples(st.integers(1, 90), st.integers(1, 90))
strides = st.sampled_from([8, 16])

ALL = [(0, 0), (1, 0), (1, 1), (0, 1)]
LEFT = [(0, 0), (0.5, 0), (0.5, 1), (0, 1)]


def density_of(height_px: int, width_px: int, stride: int, seed: int) -> Density:
    shape = (-(-height_px // stride), -(-width_px // stride))
    return np.random.default_rng(seed).random(shape, np.float32)


def area(polygon: Sequence[tuple[Fraction, Fraction]]) -> Fraction:
    pairs = zip(polygon, [*polygon[1:], *polygon[:1]], strict=True)
    return abs(sum((x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs), Fraction(0))) / 2


def clipped(polygon: list[tuple[Fraction, Fraction]], axis: int, limit: Fraction, keep: int) -> list:
    """Sutherland and Hodgman's half-plane: keeps what is above (1) or below (-1) a limit of x (0) or y (1)."""
    kept = []
    for a, b in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True):
        inside_a, inside_b = (keep * (point[axis] - limit) >= 0 for point in (a, b))
        if inside_a:
            kept.append(a)
        if inside_a != inside_b:
            t = (limit - a[axis]) / (b[axis] - a[axis])
            kept.append((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])))
    return kept


def people_by_clipping(
    density: Density, stride: int, height_px: int, width_px: int, corners: Sequence[Corner]
) -> float:
    """The sum of all cells by their share, in exact arithmetic."""
    total = Fraction(0)
    exact = [(Fraction(x) * width_px, Fraction(y) * height_px) for x, y in corners]
    for row, column in np.ndindex(density.shape):
        box = [
            [Fraction(min(i * stride, side)) for i in (at, at + 1)]
            for at, side in ((column, width_px), (row, height_px))
        ]
        part = exact
        for axis, (low, high) in enumerate(box):
            part = clipped(clipped(part, axis, low, 1), axis, high, -1)
        cell = math.prod(high - low for low, high in box)
        total += Fraction(float(density[row, column])) * area(part) / cell
    return float(total)


def star(seed: int, corners: int) -> list[Corner]:
    """A simple polygon, concave as a rule, part of which may lie outside the picture."""
    draw = random.Random(seed)
    centre = draw.uniform(0, 1), draw.uniform(0, 1)
    angles = sorted((i + draw.uniform(0.1, 0.9)) * 2 * math.pi / corners for i in range(corners))
    return [
        (centre[0] + r * math.cos(a), centre[1] + r * math.sin(a)) for a in angles for r in [draw.uniform(0.1, 0.8)]
    ]


def slices(seed: int, cuts: int) -> list[list[Corner]]:
    """A partition of the picture: slices around a point, between points of its border."""
    draw = random.Random(seed)
    centre = draw.uniform(0.01, 0.99), draw.uniform(0.01, 0.99)
    border = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    for _ in range(cuts):
        at = draw.random()
        border.append(draw.choice([(at, 0.0), (at, 1.0), (0.0, at), (1.0, at)]))
    border.sort(key=lambda point: math.atan2(point[1] - centre[1], point[0] - centre[0]))
    starts = sorted(draw.sample(range(len(border)), max(2, cuts)))
    rings = []
    for start, end in zip(starts, [*starts[1:], starts[0] + len(border)], strict=True):
        rings.append([centre, *(border[i % len(border)] for i in range(start, end + 1))])
    return rings


@given(sides_px, strides, seeds, st.integers(3, 9))
def test_integral_is_the_sum_of_clipped_cells(sides: tuple[int, int], stride: int, seed: int, corners: int) -> None:
    density, polygon = density_of(*sides, stride, seed), star(seed, corners)
    found = DensityField(density, stride, *sides).people(polygon)
    assert found == pytest.approx(people_by_clipping(density, stride, *sides, polygon), abs=1e-9)


@given(sides_px, strides, seeds, st.integers(0, 8))
def test_partition_sums_to_the_count(sides: tuple[int, int], stride: int, seed: int, cuts: int) -> None:
    density = density_of(*sides, stride, seed)
    field = DensityField(density, stride, *sides)
    parts = [field.people(polygon) for polygon in slices(seed, cuts)]
    assert sum(parts) == pytest.approx(float(density.sum(dtype=np.float64)), abs=1e-9)
    assert min(parts) >= 0


@given(sides_px, strides, seeds, st.integers(3, 9))
def test_direction_and_first_corner_do_not_matter(sides: tuple[int, int], stride: int, seed: int, corners: int) -> None:
    field, polygon = DensityField(density_of(*sides, stride, seed), stride, *sides), star(seed, corners)
    turned = polygon[corners // 2 :] + polygon[: corners // 2]
    assert field.people(polygon[::-1]) == pytest.approx(field.people(polygon), abs=1e-9)
    assert field.people(turned) == pytest.approx(field.people(polygon), abs=1e-9)


@pytest.fixture
def even() -> DensityField:
    """One person in each cell of 10x10, in a picture of 80x80 px."""
    return DensityField(np.ones((10, 10), np.float32), 8, 80, 80)


@pytest.mark.parametrize(
    ("polygon", "people"),
    [
        pytest.param(ALL, 100, id="the picture"),
        pytest.param([(-5, -5), (6, -5), (6, 6), (-5, 6)], 100, id="more than the picture"),
        pytest.param([(-1, 0), (0.5, 0), (0.5, 1), (-1, 1)], 50, id="partly outside"),
        pytest.param([(0.33, 0.2), (0.35, 0.2), (0.35, 0.9), (0.33, 0.9)], 1.4, id="within cells"),
        pytest.param([(0, 0), (1, 0), (0.5, 0.5), (1, 1), (0, 1)], 75, id="concave"),
        pytest.param(
            [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0), (0.2, 0.2), (0.2, 0.8), (0.8, 0.8), (0.8, 0.2), (0.2, 0.2)],
            64,
            id="led around a hole",
        ),
        pytest.param(
            [(0.1, 0.1), (0.5, 0.1), (0.5, 0.5), (0.9, 0.5), (0.9, 0.9), (0.5, 0.9), (0.5, 0.5), (0.1, 0.5)],
            32,
            id="two squares that touch in a corner",
        ),
        pytest.param(
            [(0.1, 0.1), (0.5, 0.5), (0.9, 0.9), (0.9, 0.1), (0.5, 0.5), (0.1, 0.9)], 32, id="two wings of one corner"
        ),
        pytest.param([(0, 0), (1, 0), (1, 1), (0.5, 0), (0, 1)], 50, id="a corner on another edge"),
    ],
)
def test_shapes(even: DensityField, polygon: list[Corner], people: float) -> None:
    corners = make_zone("zone", polygon).corners
    assert even.people(corners) == pytest.approx(people, abs=1e-9)


def test_last_cells_are_spread_over_what_the_picture_has_of_them() -> None:
    """12x8 px: of the second cell only half lies in the picture, and its person there."""
    field = DensityField(np.array([[1, 1]], np.float32), 8, 8, 12)
    assert field.people(ALL) == pytest.approx(2)
    assert field.people([(8 / 12, 0), (10 / 12, 0), (10 / 12, 1), (8 / 12, 1)]) == pytest.approx(0.5)


def test_pixels_are_those_of_the_picture_as_it_was_sent() -> None:
    fitted = FittedImage(np.zeros((80, 40, 3), np.uint8), None, sent_size=(400, 800))
    left = make_zone("left", [(x * 400, y * 800) for x, y in LEFT], in_px=True)
    (counted,) = count_zones(CountMap(np.ones((10, 5), np.float32), 8), fitted, [left])
    assert (counted.name, counted.corners) == ("left", tuple(LEFT))
    assert counted.people == pytest.approx(25)


def test_zone_outside_the_picture_is_refused() -> None:
    picture = FittedImage(np.zeros((8, 8, 3), np.uint8), None, sent_size=(8, 8))
    with pytest.raises(InvalidRequest, match="zone 'a' lies outside the picture of 8x8 px: its x is between 1 and 2"):
        count_zones(
            CountMap(np.ones((1, 1), np.float32), 8), picture, [make_zone("a", [(8, 0), (16, 0), (16, 8)], in_px=True)]
        )
