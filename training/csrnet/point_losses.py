"""Losses from head points instead of a smoothed map: Bayesian loss and DM-Count, on the cells of a density map.

Both assume every head in the middle of its cell. Gaussians and squared distances are then products over rows and
columns, so that each costs a few products of small matrices instead of a table of heads against cells.
"""

import tensorflow as tf

from training.data.photos import STRIDE_PX

BACKGROUND = 0.15
"""Distance from the nearest head from which the ground's likelihood is one, as a share of a crop's shorter side."""

HEAD_SIGMA_CELLS = 1.0
"""Standard deviation of the likelihood of a head; one cell is 8 px."""

TRANSPORT_WEIGHT, VARIATION_WEIGHT = 0.1, 0.01
"""Weights of optimal transport and of total variation, relative to the error of the count."""

BLUR_PX2 = 10.0
"""Weight of the entropy of the transport plan, in squared pixels."""

ITERATIONS = 100
"""Iterations of Sinkhorn's algorithm."""


def bayesian_loss(density: tf.Tensor, heads: tf.Tensor) -> tf.Tensor:
    """Mean absolute error per cell of the expected count of each head, which is one, and of the ground, which is zero.

    The people in a cell belong to the heads and to the ground with the posterior probabilities at its place. (Ma et
    al.: Bayesian Loss for Crowd Count Estimation with Point Supervision, 2019, section 3. Beyond the distance
    `BACKGROUND`, the ground's likelihood stays one here.)

    Args:
        density: People per cell, [batch, h, w].
        heads: Labelled heads per cell, [batch, h, w].
    """
    rows, columns = (tf.exp(-_squared_distances(side) / (2 * HEAD_SIGMA_CELLS**2)) for side in density.shape[1:])
    away = BACKGROUND * tf.cast(min(density.shape[1:]), tf.float32) - tf.sqrt(_nearest_head(heads))
    ground = tf.exp(-tf.square(tf.maximum(away, 0.0)) / (2 * HEAD_SIGMA_CELLS**2))
    evidence = ground + rows @ heads @ columns
    expected = rows @ (density / evidence) @ columns
    return tf.reduce_mean(heads * tf.abs(1.0 - expected) + density * ground / evidence)


def dm_count_loss(density: tf.Tensor, heads: tf.Tensor) -> tf.Tensor:
    """Error of a crop's count, plus optimal transport and total variation between both distributions, per cell.

    (Wang et al.: Distribution Matching for Crowd Counting, 2020, section 4, with its weights.) For a crop without
    heads, the error of the count alone.

    Args:
        density: People per cell, [batch, h, w].
        heads: Labelled heads per cell, [batch, h, w].
    """
    people, labelled = (tf.reduce_sum(x, axis=[1, 2]) for x in (density, heads))
    found, true = (x / tf.maximum(total, 1e-6)[:, None, None] for x, total in ((density, people), (heads, labelled)))
    variation = labelled * tf.reduce_sum(tf.abs(found - true), axis=[1, 2]) / 2
    shape = TRANSPORT_WEIGHT * transport_cost(found, true) + VARIATION_WEIGHT * variation
    cells = tf.cast(tf.size(density[0]), tf.float32)
    return tf.reduce_mean(tf.abs(people - labelled) + tf.where(labelled > 0, shape, 0.0)) / cells


def transport_cost(found: tf.Tensor, true: tf.Tensor) -> tf.Tensor:
    """Cost of transporting one distribution to another, in squared px, [batch]; passes a gradient to the first.

    Sinkhorn's algorithm on logarithms; the gradient is that of the dual, with its potentials held constant.

    Args:
        found: Distribution of the network, with the sum one in each crop, [batch, h, w].
        true: Distribution of the labels, likewise.
    """
    costs = [_squared_distances(side) * STRIDE_PX**2 / BLUR_PX2 for side in found.shape[1:]]
    logs = [tf.math.log(tf.stop_gradient(x) + 1e-30) for x in (found, true)]
    mine = yours = tf.zeros_like(found)
    for _ in tf.range(ITERATIONS):
        yours = -_log_spread(mine + logs[0], *costs)
        mine = -_log_spread(yours + logs[1], *costs)
    return BLUR_PX2 * tf.reduce_sum(tf.stop_gradient(mine) * found + tf.stop_gradient(yours) * true, axis=[1, 2])


def _squared_distances(side: int) -> tf.Tensor:
    """Squared distances between the cells of a row or column, [side, side], in squared cells."""
    places = tf.range(side, dtype=tf.float32)
    return tf.square(places[:, None] - places[None])


def _nearest_head(heads: tf.Tensor) -> tf.Tensor:
    """Squared distance to the nearest cell with a head, [batch, h, w], in squared cells; huge if no cell has one."""
    height, width = heads.shape[1:]
    start = tf.where(heads > 0, 0.0, 1e9)
    in_column = tf.reduce_min(start[:, :, None] + _squared_distances(height)[None, :, :, None], axis=1)
    return tf.reduce_min(in_column[..., None] + _squared_distances(width)[None, None], axis=2)


def _log_spread(logs: tf.Tensor, row_costs: tf.Tensor, column_costs: tf.Tensor) -> tf.Tensor:
    """Logarithm of the sum that each cell receives from cells with these logarithms, [batch, h, w]."""
    in_column = tf.reduce_logsumexp(logs[:, :, None] - row_costs[None, :, :, None], axis=1)
    return tf.reduce_logsumexp(in_column[..., None] - column_costs[None, None], axis=2)
