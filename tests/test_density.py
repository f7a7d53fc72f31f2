import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crowdserve.density import adaptive_sigmas, density_map, fixed_sigmas

HEIGHT, WIDTH = 173, 260
POINTS = arrays(
    np.float64,
    st.tuples(st.integers(0, 40), st.just(2)),
    elements=st.floats(-20, 300, allow_nan=False, width=32),
)


@given(points=POINTS, sigma=st.floats(0.5, 60))
def test_fixed_kernels_preserve_the_head_count(points: np.ndarray, sigma: float) -> None:
    density = density_map(points, fixed_sigmas(points, sigma), HEIGHT, WIDTH)
    assert density.shape == (HEIGHT // 8, WIDTH // 8)
    assert density.sum(dtype=np.float64) == pytest.approx(len(points), abs=1e-3)
    assert density.min() >= 0


@given(points=POINTS)
def test_adaptive_kernels_preserve_the_head_count(points: np.ndarray) -> None:
    density = density_map(points, adaptive_sigmas(points), HEIGHT, WIDTH)
    assert density.sum(dtype=np.float64) == pytest.approx(len(points), abs=1e-3)


def test_head_away_from_borders_is_the_integral_of_its_gaussian() -> None:
    point, sigma = np.array([[101.0, 77.0]]), 9.0
    fine = density_map(point, np.array([sigma]), HEIGHT, WIDTH, stride=1)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    gaussian = np.exp(-((columns - 101) ** 2 + (rows - 77) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    np.testing.assert_allclose(fine, gaussian, atol=2e-6)
    coarse = density_map(point, np.array([sigma]), HEIGHT, WIDTH, stride=8)
    blocks = fine[:168, :256].reshape(21, 8, 32, 8).sum(axis=(1, 3))
    np.testing.assert_allclose(coarse, blocks, atol=1e-5)


def test_adaptive_width_is_a_tenth_of_the_distance_to_three_neighbours() -> None:
    points = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 20.0], [30.0, 0.0], [200.0, 200.0]])
    assert adaptive_sigmas(points)[0] == pytest.approx(0.1 * (10 + 20 + 30))
