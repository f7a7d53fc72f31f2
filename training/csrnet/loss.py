"""The losses of CSRNet: errors of counts over blocks of several sizes, or one of the losses from head points."""

import tensorflow as tf

from training.csrnet.point_losses import bayesian_loss, dm_count_loss

BLOCKS = "blocks"
"""The loss of `count_loss`."""

POINT_LOSSES = {"bayesian": bayesian_loss, "dm-count": dm_count_loss}
"""Name -> (density, heads) -> loss per cell."""

LOSSES = (BLOCKS, *POINT_LOSSES)


def count_loss(
    density: tf.Tensor, target: tf.Tensor, pools: tuple[int, ...], squared_pools: tuple[int, ...] = ()
) -> tf.Tensor:
    """Mean absolute and squared errors of counts over blocks of several sizes, each in people per cell.

    An absolute error is smallest at the median, which is zero for a block that seldom holds a head: sparse scenes are
    under-counted. A squared error is smallest at the mean.

    Args:
        density: Density of the network, [batch, h, w].
        target: Density to reach, [batch, h, w].
        pools: Sides of the blocks whose absolute errors are added, in cells; the whole crop is always one more block.
        squared_pools: Sides of the blocks whose squared errors are added, in cells.
    """
    error = (density - target)[..., tf.newaxis]
    total = tf.reduce_mean(tf.abs(tf.reduce_mean(error, axis=[1, 2])))
    for side in pools:
        total += tf.reduce_mean(tf.abs(tf.nn.avg_pool2d(error, side, side, "VALID")))
    for side in squared_pools:
        total += tf.reduce_mean(tf.square(tf.nn.avg_pool2d(error, side, side, "VALID")))
    return total
