"""Losses from heads against plain arithmetic over single heads."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import linear_sum_assignment

from training.csrnet.point_losses import BACKGROUND, bayesian_loss, dm_count_loss, transport_cost
from training.data.photos import STRIDE_PX

LOSSES = pytest.mark.parametrize("loss", [bayesian_loss, dm_count_loss])


def _heads(*cells: tuple[int, int], shape: tuple[int, int] = (12, 16)) -> np.ndarray:
    heads = np.zeros(shape, np.float32)
    for cell in cells:
        heads[cell] += 1
    return heads


def _value(loss: Callable[..., tf.Tensor], density: np.ndarray, heads: np.ndarray) -> float:
    return float(loss(tf.constant(density[np.newaxis]), tf.constant(heads[np.newaxis])))


def test_bayesian_loss_is_the_sum_over_heads_and_the_ground() -> None:
    draw = np.random.default_rng(1)
    density = draw.uniform(size=(12, 16)).astype(np.float32)
    places = [(2, 3), (2, 4), (2, 4), (9, 12)]
    cells = np.stack(np.mgrid[:12, :16], axis=-1)
    distances = np.stack([np.linalg.norm(cells - np.array(place), axis=-1) for place in places])
    ground = np.exp(-(np.maximum(BACKGROUND * 12 - distances.min(axis=0), 0) ** 2) / 2)
    likelihoods = np.concatenate([np.exp(-(distances**2) / 2), ground[np.newaxis]])
    expected = (likelihoods / likelihoods.sum(axis=0) * density).sum(axis=(1, 2))
    loss = (np.abs(1 - expected[:-1]).sum() + expected[-1]) / density.size
    assert _value(bayesian_loss, density, _heads(*places)) == pytest.approx(loss, rel=1e-4)


@LOSSES
def test_loss_is_small_only_for_dots_on_the_heads(loss: Callable[..., tf.Tensor]) -> None:
    wide = (40, 48)
    heads = _heads((2, 3), (29, 32), shape=wide)
    right = _value(loss, heads, heads)
    assert right < 0.1 * _value(loss, _heads((2, 3), (15, 17), shape=wide), heads)
    assert right < 0.1 * _value(loss, np.zeros_like(heads), heads)


@LOSSES
def test_window_without_heads_penalises_any_count(loss: Callable[..., tf.Tensor]) -> None:
    empty = np.zeros((12, 16), np.float32)
    assert _value(loss, empty, empty) == pytest.approx(0, abs=1e-9)
    assert _value(loss, _heads((1, 1), (5, 5)), empty) == pytest.approx(2 / empty.size, rel=1e-4)


def test_transport_cost_equals_the_best_assignment() -> None:
    draw = np.random.default_rng(2)
    mine, yours = (draw.permutation(12 * 16)[:5] for _ in range(2))
    from_cells, to_cells = (np.stack(np.unravel_index(chosen, (12, 16)), axis=1) for chosen in (mine, yours))
    distances = np.square(STRIDE_PX * (from_cells[:, np.newaxis] - to_cells)).sum(axis=-1)
    best = distances[linear_sum_assignment(distances)].mean()
    found, true = (_heads(*map(tuple, cells.tolist())) / 5 for cells in (from_cells, to_cells))
    cost = float(transport_cost(tf.constant(found[np.newaxis]), tf.constant(true[np.newaxis]))[0])
    assert cost == pytest.approx(best, rel=0.05)


@LOSSES
def test_gradient_moves_people_towards_a_head(loss: Callable[..., tf.Tensor]) -> None:
    heads = tf.constant(_heads((6, 3))[np.newaxis])
    density = tf.Variable(np.full((1, 12, 16), 0.01, np.float32))
    with tf.GradientTape() as tape:
        value = loss(density, heads)
    gradient = tape.gradient(value, density).numpy()[0]
    assert np.isfinite(gradient).all()
    assert gradient[6, 3] < gradient[6, 13]


def test_losses_are_the_same_within_a_graph() -> None:
    draw = np.random.default_rng(3)
    density, heads = draw.uniform(size=(12, 16)).astype(np.float32), _heads((3, 4), (8, 8))
    for loss in (bayesian_loss, dm_count_loss):
        assert _value(tf.function(loss), density, heads) == pytest.approx(_value(loss, density, heads), rel=1e-4)
