import numpy as np
import pytest

from training.data.crops import batches_of_equal_size, crop, random_crop

STRIDE = 8


@pytest.fixture
def pair():
    """A target of 12x18 cells whose input names the cell that each pixel belongs to."""
    target = np.arange(12 * 18, dtype=np.float32).reshape(12, 18)
    source = np.kron(target, np.ones((STRIDE, STRIDE), np.float32))[..., np.newaxis]
    return source, target


def assert_aligned(pair):
    source, target = pair
    np.testing.assert_array_equal(source[::STRIDE, ::STRIDE, 0], target)
    np.testing.assert_array_equal(source[STRIDE - 1 :: STRIDE, STRIDE - 1 :: STRIDE, 0], target)


@pytest.mark.parametrize("seed", range(5))
def test_crops_keep_input_and_target_together(pair, seed):
    draw = np.random.default_rng(seed)
    assert_aligned(random_crop(pair, 5, 7, draw))
    assert random_crop(pair, 5, 7, draw)[1].shape == (5, 7)


def test_every_window_can_come_up(pair):
    draw = np.random.default_rng(0)
    corners = {float(random_crop(pair, 11, 17, draw)[1][0, 0]) for _ in range(200)}
    assert corners == {0.0, 1.0, 18.0, 19.0}


def test_small_images_are_filled_up_without_losing_heads(pair):
    source, target = random_crop(pair, 16, 20, np.random.default_rng(0))
    assert source.shape == (16 * STRIDE, 20 * STRIDE, 1)
    assert target.sum() == pair[1].sum()


def test_batches_hold_one_size_and_lose_nothing():
    rows = [4, 6, 4, 4, 6, 8, 4]
    pairs = [(np.full((n, 5, 1), i), np.full((n, 5), i, np.float32)) for i, n in enumerate(rows)]
    batches = list(batches_of_equal_size(pairs, 2))
    assert [b[1].shape for b in batches] == [(2, 4, 5), (2, 6, 5), (2, 4, 5), (1, 8, 5)]
    assert sorted(int(t[0, 0]) for _, targets in batches for t in targets) == list(range(7))


def test_crop_at_a_place(pair):
    assert_aligned(crop(pair, 2, 3, 4, 5))
    assert crop(pair, 2, 3, 4, 5)[1][0, 0] == 2 * 18 + 3
