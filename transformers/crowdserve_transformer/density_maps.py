"""Density maps of several networks as one map that keeps their people.

Networks have different strides, and two maps of one picture need not have the same number of cells. A combined map has
the finest stride; a coarser cell's people are spread evenly over the fine cells that it covers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crowdserve.images import Density


@dataclass(frozen=True, slots=True)
class CountMap:
    """People in the cells of one picture.

    Attributes:
        density: float32 [rows, columns], people a cell.
        stride: Pixels a side of a cell.
    """

    density: Density
    stride: int

    @property
    def people(self) -> float:
        """The head count: the sum of the cells."""
        return float(self.density.sum(dtype=np.float64))


def combine(maps: Sequence[CountMap], weights: Sequence[float]) -> CountMap:
    """The weighted sum of some maps of one picture; its people are the weighted sum of theirs.

    Args:
        maps: At least one; each stride must be a multiple of the finest.
        weights: One a map.
    """
    if len(maps) == 1 and weights[0] == 1:
        return maps[0]
    stride = min(m.stride for m in maps)
    fine = [_refined(m, stride) for m in maps]
    total = np.zeros((max(d.shape[0] for d in fine), max(d.shape[1] for d in fine)), np.float32)
    for density, weight in zip(fine, weights, strict=True):
        total[: density.shape[0], : density.shape[1]] += np.float32(weight) * density
    return CountMap(total, stride)


def stacked(densities: Sequence[Density]) -> Density:
    """Maps of several pictures in one zero-padded array [pictures, rows, columns]."""
    rows, columns = (max(density.shape[axis] for density in densities) for axis in (0, 1))
    batch = np.zeros((len(densities), rows, columns), np.float32)
    for row, density in zip(batch, densities, strict=True):
        row[: density.shape[0], : density.shape[1]] = density
    return batch


def _refined(coarse: CountMap, stride: int) -> Density:
    factor = coarse.stride // stride
    if factor == 1:
        return coarse.density
    spread = coarse.density / np.float32(factor * factor)
    return np.repeat(np.repeat(spread, factor, axis=0), factor, axis=1)
