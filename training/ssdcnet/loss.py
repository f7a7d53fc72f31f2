"""The loss of SSDCNet: on the classes of local counts, on the division of cells, and on the final map.

Targets come from a density map with cells of 8 px; a cell of 64, 32 or 16 px is the sum of its 8x8, 4x4 or 2x2 values.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from crowdserve.nets.ssdcnet import Division, SSDCNet

SIDES = (8, 4, 2)
"""Sides of the cells of 64, 32 and 16 px, in values of the density map."""

COUNT_BLOCKS = (1, 4)
"""Sides of the blocks of 16 px cells whose final counts are compared; the whole crop is one more block."""


def division_loss(
    net: SSDCNet, division: Division, density: Tensor, *, count_weight: float, squared_blocks: Sequence[int] = ()
) -> Tensor:
    """Cross entropy of the classes at three scales, plus errors of shares, weights, expected and final counts.

    The choice of a class passes no gradient, so classes learn from cross entropy, and from the expected count of their
    probabilities: cross entropy alone favours the likeliest class, which in sparse cells is the count zero.

    Args:
        net: The network, for the edges and counts of the classes.
        division: The network's output for a batch.
        density: People per cell of 8 px, [N, h, w]; h and w multiples of 8.
        count_weight: Weight of the absolute errors, relative to the cross entropies.
        squared_blocks: Sides of the blocks, in cells of 16 px, whose final counts are compared by squared error.
    """
    counts = [_sums(density[:, None], side) for side in SIDES]
    logits = (division.logits0, division.logits1, division.logits2)
    scales = [(found.float(), true, side) for found, true, side in zip(logits, counts, SIDES, strict=True)]
    classes = sum(_class_loss(net, found, true) for found, true, _ in scales)
    expected = sum(_expectation_loss(net, found, true) * 2 / side for found, true, side in scales)
    coarse, middle, fine = counts
    shares = _share_loss(division.den0, coarse, middle) / 2 + _share_loss(division.den1, middle, fine)
    undivided = _undivided_loss(net, division.w1, coarse) + _undivided_loss(net, division.w2, middle)
    error = division.div2 - fine
    squared = sum(_squared_loss(error, side) for side in squared_blocks)
    return classes + undivided + squared + count_weight * (expected + shares + _count_loss(error))


def _class_loss(net: SSDCNet, logits: Tensor, counts: Tensor) -> Tensor:
    return functional.cross_entropy(logits, torch.bucketize(counts[:, 0], net.edges))


def _expectation_loss(net: SSDCNet, logits: Tensor, counts: Tensor) -> Tensor:
    """Mean error of the expected count of a cell, people; the target beyond the last class is the last class."""
    expected = net.expected_counts(logits)
    return (expected - counts[:, 0].clamp(max=float(net.table[-1]))).abs().mean()


def _share_loss(shares: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Mean error of the counts of quarters when the true count of a cell is shared out, people."""
    return (_repeat(before) * shares - after).abs().mean()


def _undivided_loss(net: SSDCNet, weights: Tensor, before: Tensor) -> Tensor:
    """Cells that hold more than the last class must be divided: the target of their quarters' weights is 1."""
    must = _repeat((before > float(net.table[-1])).float())
    return -(must * torch.log(weights.float().clamp(min=1e-6))).mean()


def _count_loss(error: Tensor) -> Tensor:
    """Absolute errors of the counts of blocks and of whole crops, people per cell of 16 px."""
    total = error.mean(dim=(1, 2, 3)).abs().mean()
    for side in COUNT_BLOCKS:
        total = total + functional.avg_pool2d(error, side).abs().mean()
    return total


def _squared_loss(error: Tensor, side: int) -> Tensor:
    """Mean squared error of blocks' counts, people² per 64 px square; equal for all sides if cells err independently.

    Where heads are rare an absolute error is smallest at too low a count, a squared error at the mean.
    """
    sums = functional.avg_pool2d(error, side) * side**2
    return sums.square().mean() * (4 / side) ** 2


def _sums(density: Tensor, side: int) -> Tensor:
    return functional.avg_pool2d(density, side) * side**2


def _repeat(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
