"""Losses that look at heads instead of a smoothed map: Bayesian loss and DM-Count, on the cells of a density map.

Both take every head to be in the middle of its cell. Gaussians and squared distances are products over rows and columns
then, so that each costs a few products of small matrices instead of a table of heads against cells.
"""

import tensorflow as tf

from training.data.photos import STRIDE_PX

BACKGROUND = 0.15
"""Distance from the nearest head at which a cell is as likely empty ground, as a share of a window's shorter side."""

HEAD_SIGMA_CELLS = 1.0
"""Width of the likelihood of a head, 8 px."""

TRANSPORT_WEIGHT, VARIATION_WEIGHT = 0.1, 0.01
"""Of optimal transport and of total variation, against the error of the count."""

BLUR_PX2 = 10.0
"""Entropy of the transport plan."""

ITERATIONS = 100
"""Of Sinkhorn's algorithm."""


def bayesian_loss(density: tf.Tensor, heads: tf.Tensor) -> tf.Tensor:
    """Mean absolute error, a cell, of the count expected of each head, which is one, and of the ground, which is none.

    Each cell's people belong to the heads and to the ground with the posterior probabilities of its place. (Ma et al.:
    Bayesian Loss for Crowd Count Estimation with Point Supervision, 2019, section 3. Beyond the ground's distance, the
    ground's likelihood stays one here.)

    Args:
        density: People a cell, [batch, h, w].
        heads: Labelled heads a cell, [batch, h, w].
    """
    rows, columns = (tf.exp(-_squared_distances(side) / (2 * HEAD_SIGMA_CELLS**2)) for side in density.shape[1:])
    away = BACKGROUND * tf.cast(min(density.shape[1:]), tf.float32) - tf.sqrt(_nearest_head(heads))
    ground = tf.exp(-tf.square(tf.maximum(away, 0.0)) / (2 * HEAD_SIGMA_CELLS**2))
    evidence = ground + rows @ heads @ columns
    expected = rows @ (density / evidence) @ columns
    return tf.reduce_mean(heads * tf.abs(1.0 - expected) + density * ground / evidence)


def dm_count_loss(density: tf.Tensor, heads: tf.Tensor) -> tf.Tensor:
    """Error of a window's count, plus optimal transport and total variation between the two as distributions, a cell.

    (Wang et al.: Distribution Matching for Crowd Counting, 2020, section 4; its weights.) Of a window without heads,
    the count alone.

    Args:
        density: People a cell, [batch, h, w].
        heads: Labelled heads a cell, [batch, h, w].
    """
    people, labelled = (tf.reduce_sum(x, axis=[1, 2]) for x in (density, heads))
    found, true = (x / tf.maximum(total, 1e-6)[:, None, None] for x, total in ((density, people), (heads, labelled)))
    variation = labelled * tf.reduce_sum(tf.abs(found - true), axis=[1, 2]) / 2
    shape = TRANSPORT_WEIGHT * transport_cost(found, true) + VARIATION_WEIGHT * variation
    cells = tf.cast(tf.size(density[0]), tf.float32)
    return tf.reduce_mean(tf.abs(people - labelled) + tf.where(labelled > 0, shape, 0.0)) / cells


def transport_cost(found: tf.Tensor, true: tf.Tensor) -> tf.Tensor:
    """What it costs to carry one distribution to another, in squared px, [batch]; passes a gradient to the first.

    Sinkhorn's algorithm on logarithms; the gradient is that of the dual, its potentials held fast.

    Args:
        found: Sums to one in each window, [batch, h, w].
        true: Likewise.
    """
    costs = [_squared_distances(side) * STRIDE_PX**2 / BLUR_PX2 for side in found.shape[1:]]
    logs = [tf.math.log(tf.stop_gradient(x) + 1e-30) for x in (found, true)]
    mine = yours = tf.zeros_like(found)
    for _ in tf.range(ITERATIONS):
        yours = -_log_spread(mine + logs[0], *costs)
        mine = -_log_spread(yours + logs[1], *costs)
    return BLUR_PX2 * tf.reduce_sum(tf.stop_gradient(mine) * found + tf.stop_gradient(yours) * true, axis=[1, 2])


def _squared_distances(side: int) -> tf.Tensor:
    """Between the cells of a row or column, [side, side], in squared cells."""
    places = tf.range(side, dtype=tf.float32)
    return tf.square(places[:, None] - places[None])


def _nearest_head(heads: tf.Tensor) -> tf.Tensor:
    """Squared distance to the nearest cell with a head, [batch, h, w], in squared cells; huge where there is none."""
    height, width = heads.shape[1:]
    start = tf.where(heads > 0, 0.0, 1e9)
    in_column = tf.reduce_min(start[:, :, None] + _squared_distances(height)[None, :, :, None], axis=1)
    return tf.reduce_min(in_column[..., None] + _squared_distances(width)[None, None], axis=2)


def _log_spread(logs: tf.Tensor, row_costs: tf.Tensor, column_costs: tf.Tensor) -> tf.Tensor:
    """Logarithm of what cells with these logarithms give to each cell, [batch, h, w]."""
    in_column = tf.reduce_logsumexp(logs[:, :, None] - row_costs[None, :, :, None], axis=1)
    return tf.reduce_logsumexp(in_column[..., None] - column_costs[None, None], axis=2)
