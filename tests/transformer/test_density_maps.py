import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve_transformer.density_maps import CountMap, combine, stacked

sides = st.integers(1, 6)


def random_map(rows: int, columns: int, stride: int, seed: int) -> CountMap:
    return CountMap(np.random.default_rng(seed).random((rows, columns), np.float32), stride)


@given(
    maps=st.lists(st.tuples(sides, sides, st.sampled_from([8, 16, 32]), st.floats(0, 1)), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_combining_keeps_the_people(maps: list[tuple[int, int, int, float]], seed: int) -> None:
    made = [random_map(rows, columns, stride, seed + i) for i, (rows, columns, stride, _) in enumerate(maps)]
    weights = [weight for *_, weight in maps]
    combined = combine(made, weights)
    expected = sum(m.people * weight for m, weight in zip(made, weights, strict=True))
    assert combined.people == pytest.approx(expected, abs=1e-4)
    assert combined.stride == min(m.stride for m in made)


def test_people_stay_where_they_are() -> None:
    coarse = CountMap(np.array([[0, 4], [0, 0]], np.float32), 16)
    fine = CountMap(np.zeros((3, 4), np.float32), 8)
    combined = combine([coarse, fine], [0.5, 0.5])
    expected = np.zeros((4, 4))
    expected[:2, 2:] = 0.5
    np.testing.assert_array_equal(combined.density, expected)


def test_one_map_is_returned_as_it_is() -> None:
    only = random_map(3, 4, 8, 0)
    assert combine([only], [1.0]) is only


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=4))
def test_stacked_maps_are_padded_with_nothing(shapes: list[tuple[int, int]]) -> None:
    maps = [random_map(rows, columns, 8, i).density for i, (rows, columns) in enumerate(shapes)]
    batch = stacked(maps)
    assert batch.shape == (len(maps), max(r for r, _ in shapes), max(c for _, c in shapes))
    for row, density in zip(batch, maps, strict=True):
        np.testing.assert_array_equal(row[: density.shape[0], : density.shape[1]], density)
        assert row.sum(dtype=np.float64) == pytest.approx(density.sum(dtype=np.float64))
