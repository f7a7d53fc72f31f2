"""What CSRNet is trained on: counts over blocks of several sizes, or one of the losses from heads."""

import tensorflow as tf

from training.csrnet.point_losses import bayesian_loss, dm_count_loss

BLOCKS = "blocks"
"""The loss of `count_loss`."""

POINT_LOSSES = {"bayesian": bayesian_loss, "dm-count": dm_count_loss}
"""Name -> (density, heads) -> loss, a cell."""

LOSSES = (BLOCKS, *POINT_LOSSES)


def count_loss(
    density: tf.Tensor, target: tf.Tensor, pools: tuple[int, ...], squared_pools: tuple[int, ...] = ()
) -> tf.Tensor:
    """Mean absolute and squared errors of counts over blocks of several sizes, each in people a cell.

    An absolute error is content with the median, which is zero for a block that seldom holds a head: sparse scenes are
    under-counted. A squared error wants the mean.

    Args:
        density: [batch, h, w].
        target: [batch, h, w].
        pools: Sides of the blocks whose absolute errors count, in cells; the whole window is always one more.
        squared_pools: Sides of the blocks whose squared errors count.
    """
    error = (density - target)[..., tf.newaxis]
    total = tf.reduce_mean(tf.abs(tf.reduce_mean(error, axis=[1, 2])))
    for side in pools:
        total += tf.reduce_mean(tf.abs(tf.nn.avg_pool2d(error, side, side, "VALID")))
    for side in squared_pools:
        total += tf.reduce_mean(tf.square(tf.nn.avg_pool2d(error, side, side, "VALID")))
    return total
