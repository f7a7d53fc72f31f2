import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve_transformer.counting.density_maps import CountMap, combine, stacked

sides = st.integers(1, 6)


def random_map(rows: int, columns: int, stride: int, seed: int) -> CountMap:
    return CountMap(np.random.default_rng(seed).random((rows, columns), np.float32), stride)


def map_of(height_px: int, width_px: int, stride: int, seed: int) -> CountMap:
    return random_map(-(-height_px // stride), -(-width_px // stride), stride, seed)


@given(
    sides_px=st.tuples(st.integers(1, 130), st.integers(1, 130)),
    maps=st.lists(st.tuples(st.sampled_from([8, 16, 32]), st.floats(0, 1)), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_combining_preserves_the_count(sides_px: tuple[int, int], maps: list[tuple[int, float]], seed: int) -> None:
    made = [map_of(*sides_px, stride, seed + i) for i, (stride, _) in enumerate(maps)]
    weights = [weight for _, weight in maps]
    combined = combine(made, weights)
    finest = min(made, key=lambda m: m.stride)
    expected = sum(m.people * weight for m, weight in zip(made, weights, strict=True))
    assert combined.people == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert (combined.stride, combined.density.shape) == (finest.stride, finest.density.shape)


def test_combining_preserves_positions() -> None:
    coarse = CountMap(np.array([[0, 4], [0, 0]], np.float32), 16)
    fine = CountMap(np.zeros((4, 4), np.float32), 8)
    combined = combine([coarse, fine], [0.5, 0.5])
    expected = np.zeros((4, 4))
    expected[:2, 2:] = 0.5
    np.testing.assert_array_equal(combined.density, expected)


def test_people_of_a_border_cell_stay_in_the_image() -> None:
    """24x20 px: 3x3 cells of 8 px, 2x2 cells of 16 px, of which the last ones have one fine row and column."""
    coarse = CountMap(np.array([[4, 2], [2, 1]], np.float32), 16)
    combined = combine([CountMap(np.zeros((3, 3), np.float32), 8), coarse], [0.5, 1.0])
    np.testing.assert_array_equal(combined.density, np.ones((3, 3)))


def test_single_map_is_returned_unchanged() -> None:
    only = random_map(3, 4, 8, 0)
    assert combine([only], [1.0]) is only


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=4))
def test_stacked_maps_are_padded_with_zeros(shapes: list[tuple[int, int]]) -> None:
    maps = [random_map(rows, columns, 8, i).density for i, (rows, columns) in enumerate(shapes)]
    batch = stacked(maps)
    assert batch.shape == (len(maps), max(r for r, _ in shapes), max(c for _, c in shapes))
    for row, density in zip(batch, maps, strict=True):
        np.testing.assert_array_equal(row[: density.shape[0], : density.shape[1]], density)
        assert row.sum(dtype=np.float64) == pytest.approx(density.sum(dtype=np.float64))
