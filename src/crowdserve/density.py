"""Head points to density maps: people per cell, so that the sum over any area is its head count.

Every head spreads over a Gaussian that is cut off at the image's border and scaled back to sum to one: no head is
lost. The maps are made directly at the network's output stride, from the exact integral of the Gaussian over each
cell, so nothing is resized.
"""

import math

import numpy as np
import numpy.typing as npt

from crowdserve.datasets import Points
from crowdserve.images import Density

FIXED_SIGMA_PX = 15.0
"""ShanghaiTech Part B's kernel (Li et al. 2018, table 2)."""

ADAPTIVE_BETA = 0.1
"""Geometry-adaptive kernels: sigma is this times the summed distance to the three nearest heads (Zhang et al. 2016)."""

_REACH_SIGMAS = 4.0
_erf = np.vectorize(math.erf, otypes=[np.float64])


def fixed_sigmas(points: Points, sigma_px: float = FIXED_SIGMA_PX) -> npt.NDArray[np.float64]:
    """One kernel width for every head: [heads], pixels."""
    return np.full(len(points), sigma_px)


def adaptive_sigmas(points: Points, beta: float = ADAPTIVE_BETA, max_sigma_px: float = 60.0) -> npt.NDArray[np.float64]:
    """Geometry-adaptive kernel widths: [heads], pixels, at least 1.

    Args:
        points: [heads, 2], (x, y).
        beta: Share of the summed distance to the three nearest other heads.
        max_sigma_px: Upper bound, for heads without near neighbours; also the width of the only head of an image.
    """
    from scipy.spatial import KDTree  # the training extra has scipy, the serving image has not

    neighbours = min(3, len(points) - 1)
    if neighbours < 1:
        return np.full(len(points), FIXED_SIGMA_PX)
    distances, _ = KDTree(points).query(points, k=neighbours + 1)
    sums = distances[:, 1:].sum(axis=1) * (3 / neighbours)
    widths: npt.NDArray[np.float64] = np.clip(beta * sums, 1.0, max_sigma_px)
    return widths


def density_map(
    points: Points, sigmas: npt.NDArray[np.float64], height_px: int, width_px: int, *, stride: int = 8
) -> Density:
    """Density map of head points.

    Args:
        points: [heads, 2], (x, y) in pixels; a point outside the image counts at the nearest border.
        sigmas: [heads], kernel widths in pixels.
        height_px: Image height, pixels.
        width_px: Image width, pixels.
        stride: Side of one cell, pixels.

    Returns:
        float32 [height_px // stride, width_px // stride], people per cell; its sum is the number of heads to 1e-3.
    """
    rows, columns = height_px // stride, width_px // stride
    density = np.zeros((rows, columns))
    centres = np.clip(points, 0, [columns * stride - 1e-3, rows * stride - 1e-3]) / stride
    for (x, y), sigma in zip(centres, sigmas / stride, strict=True):
        top, weights_y = _cell_weights(y, sigma, rows)
        left, weights_x = _cell_weights(x, sigma, columns)
        density[top : top + len(weights_y), left : left + len(weights_x)] += np.outer(weights_y, weights_x)
    return density.astype(np.float32)


def _cell_weights(centre: float, sigma: float, cells: int) -> tuple[int, npt.NDArray[np.float64]]:
    """The first cell that a Gaussian reaches along an axis, and its integral over each cell from there; sum 1."""
    reach = _REACH_SIGMAS * sigma
    first, last = max(0, math.floor(centre - reach)), min(cells, math.floor(centre + reach) + 1)
    edges = (np.arange(first, last + 1) - centre) / (sigma * math.sqrt(2))
    weights = np.diff(_erf(edges))
    return first, weights / weights.sum()
