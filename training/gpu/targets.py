"""What a window's heads are to the losses: people per cell, smoothed and not."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from crowdserve.datasets import Points
from crowdserve.images import Density

CELL_PX = 8
"""Side of a cell of the targets."""

_FINE_PX = 4
_WIDTHS = 3.0
"""Standard deviations after which a Gaussian ends."""

Floats = npt.NDArray[np.float32]


def targets(points: Points, height: int, width: int, sigma_px: float) -> tuple[Density, Floats]:
    """People per cell with each head a Gaussian, and heads per cell; heads just outside give their part of the first.

    Args:
        points: Heads (x, y) in px of the window; those far outside are ignored.
        height: Height of the window, px.
        width: Width of the window, px.
        sigma_px: Width of the Gaussian.
    """
    margin, cell = int(np.ceil(_WIDTHS * sigma_px / _FINE_PX)), CELL_PX // _FINE_PX
    margin_px = margin * _FINE_PX
    fine = _histogram(points + margin_px, height + 2 * margin_px, width + 2 * margin_px, _FINE_PX)
    smooth = gaussian_filter(fine, sigma_px / _FINE_PX, mode="constant", truncate=_WIDTHS)
    smooth = smooth[margin:-margin, margin:-margin]
    rows, columns = height // CELL_PX, width // CELL_PX
    density = smooth.reshape(rows, cell, columns, cell).sum(axis=(1, 3))
    return density.astype(np.float32), _histogram(points, height, width, CELL_PX)


def _histogram(points: Points, height: int, width: int, cell_px: int) -> Floats:
    rows, columns = height // cell_px, width // cell_px
    x, y = np.floor(points / cell_px).astype(int).T
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    counts = np.bincount(y[inside] * columns + x[inside], minlength=rows * columns)
    return counts.reshape(rows, columns).astype(np.float32)
