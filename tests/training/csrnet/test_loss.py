"""CSRNet's loss against plain arithmetic."""

import numpy as np
import pytest
import tensorflow as tf

from training.csrnet.loss import count_loss


def test_loss_is_the_mean_of_block_errors() -> None:
    draw = np.random.default_rng(0)
    density, target = (draw.uniform(size=(2, 8, 8)).astype(np.float32) for _ in range(2))
    expected = np.abs((density - target).mean(axis=(1, 2))).mean()
    for side in (2, 4):
        blocks = (density - target).reshape(2, 8 // side, side, 8 // side, side).mean(axis=(2, 4))
        expected += np.abs(blocks).mean()
    loss = count_loss(tf.constant(density), tf.constant(target), (2, 4))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    squared = count_loss(tf.constant(density), tf.constant(target), (2, 4), squared_pools=(1,))
    assert float(squared - loss) == pytest.approx(np.square(density - target).mean(), rel=1e-4)
