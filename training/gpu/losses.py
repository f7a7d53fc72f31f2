"""Errors of a batch of density maps in PyTorch, in people per window."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

BACKGROUND = 0.15
"""Distance from the nearest head from which the ground's likelihood is one, as a share of a window's shorter side."""

HEAD_SIGMA_CELLS = 1.0
"""Standard deviation of the likelihood of a head; one cell is 8 px."""

BLOCKS = (2, 4, 8, 16)
"""Sides of the blocks whose counts are compared, in cells."""


def block_loss(
    density: Tensor, target: Tensor, squared_blocks: Sequence[int] = (), *, blocks: Sequence[int] = BLOCKS
) -> Tensor:
    """Errors of counts over blocks of several sizes and over the whole window.

    Args:
        density: People per cell, [batch, h, w].
        target: The same, as labelled.
        squared_blocks: Sides of the blocks whose squared errors are added, in cells.
        blocks: Sides of the blocks whose absolute errors are added, in cells; the window is one more block. Blocks that
            are larger than the window are left out.
    """
    error = (density - target)[:, None]
    total = error.sum(dim=(1, 2, 3)).abs().mean()
    fitting = [side for side in blocks if side <= min(density.shape[1:])]
    for side in fitting:
        total = total + _sums(error, side).abs().sum(dim=(1, 2, 3)).mean() / len(fitting)
    for side in squared_blocks:
        total = total + _sums(error, side).square().sum(dim=(1, 2, 3)).mean() / len(squared_blocks)
    return total


def bayesian_loss(density: Tensor, heads: Tensor) -> Tensor:
    """Error of the expected count of each head, which is one, and of the ground, which is zero.

    As `training.csrnet.point_losses.bayesian_loss`: every head is in the middle of its cell (Ma et al. 2019).

    Args:
        density: People per cell, [batch, h, w].
        heads: Labelled heads per cell, [batch, h, w].
    """
    rows, columns = (torch.exp(-_squared(side, density) / (2 * HEAD_SIGMA_CELLS**2)) for side in density.shape[1:])
    away = BACKGROUND * min(density.shape[1:]) - _nearest_head(heads).sqrt()
    ground = torch.exp(-away.clamp(min=0).square() / (2 * HEAD_SIGMA_CELLS**2))
    evidence = ground + rows @ heads @ columns
    expected = rows @ (density / evidence) @ columns
    return (heads * (1 - expected).abs() + density.abs() * ground / evidence).sum(dim=(1, 2)).mean()


def block_and_bayesian_loss(
    density: Tensor, target: Tensor, heads: Tensor, squared_blocks: Sequence[int] = ()
) -> Tensor:
    """The sum of both."""
    return block_loss(density, target, squared_blocks) + bayesian_loss(density, heads)


Loss = Callable[[Tensor, Tensor, Tensor, Sequence[int]], Tensor]
"""Density, labelled density, labelled heads, sides of squared blocks -> error."""

LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "blocks": lambda density, target, heads, squared: block_loss(density, target, squared),
        "bayesian": lambda density, target, heads, squared: bayesian_loss(density, heads),
        "both": block_and_bayesian_loss,
    }
)
"""CSRNet's losses by name."""


def _sums(error: Tensor, side: int) -> Tensor:
    return functional.avg_pool2d(error, side) * side**2


def _squared(side: int, like: Tensor) -> Tensor:
    places = torch.arange(side, dtype=torch.float32, device=like.device)
    return (places[:, None] - places[None]).square()


def _nearest_head(heads: Tensor) -> Tensor:
    """Squared distance to the nearest cell with a head, [batch, h, w], in squared cells; huge if no cell has one."""
    height, width = heads.shape[1:]
    start = torch.where(heads > 0, 0.0, 1e9)
    in_column = (start[:, :, None] + _squared(height, heads)[None, :, :, None]).amin(dim=1)
    return (in_column[..., None] + _squared(width, heads)[None, None]).amin(dim=2)
