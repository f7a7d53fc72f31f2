"""Density maps of several networks combined into one map that preserves the head count.

Networks have different strides: CSRNet's cells are 8x8 px, SSDCNet's 16x16 px. One network's map is returned
unchanged. A combined map has the cells of the finest; a coarser cell's people are spread evenly over the fine cells
inside the image that it covers, so that none is lost where the last coarse cell reaches over the border.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crowdserve.images import Density


@dataclass(frozen=True, slots=True)
class CountMap:
    """People in the cells of one image.

    Attributes:
        density: float32 [rows, columns], people per cell.
        stride: Side of a cell, pixels.
    """

    density: Density
    stride: int

    @property
    def people(self) -> float:
        """The head count: the sum of the cells."""
        return float(self.density.sum(dtype=np.float64))


def combine(maps: Sequence[CountMap], weights: Sequence[float]) -> CountMap:
    """The weighted sum of some maps of one image; its head count is the weighted sum of theirs.

    Args:
        maps: At least one, each without padding: ``ceil(side / stride)`` cells per side. Each stride must be a multiple
            of the finest.
        weights: One weight per map.
    """
    if len(maps) == 1 and weights[0] == 1:
        return maps[0]
    finest = min(maps, key=lambda m: m.stride)
    total = np.zeros_like(finest.density)
    for m, weight in zip(maps, weights, strict=True):
        total += np.float32(weight) * _refined(m, finest)
    return CountMap(total, finest.stride)


def stacked(densities: Sequence[Density]) -> Density:
    """Maps of several images in one zero-padded array [images, rows, columns]."""
    rows, columns = (max(density.shape[axis] for density in densities) for axis in (0, 1))
    batch = np.zeros((len(densities), rows, columns), np.float32)
    for row, density in zip(batch, densities, strict=True):
        row[: density.shape[0], : density.shape[1]] = density
    return batch


def _refined(coarse: CountMap, fine: CountMap) -> Density:
    """A map on the cells of a finer one; the people of each coarse cell are spread evenly."""
    if coarse.stride == fine.stride:
        return coarse.density
    factor = coarse.stride // fine.stride
    covering = [np.arange(cells) // factor for cells in fine.density.shape]
    rows, columns = (np.bincount(index)[index] for index in covering)  # fine cells in each one's coarse cell
    spread: Density = (coarse.density[np.ix_(*covering)] / np.outer(rows, columns)).astype(np.float32)
    return spread
