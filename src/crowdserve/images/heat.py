"""Heat: a picture with its density laid over it."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from crowdserve.images.geometry import Density, Rgb

_ANCHORS = ((13, 8, 70), (86, 18, 125), (180, 45, 100), (240, 115, 50), (252, 240, 120))
"""Colours of no, a quarter, half, three quarters and full heat; each is lighter than the one before, so the order
survives grayscale printing and colour blindness."""

_MAX_ALPHA = 0.8
_PEAK_PERCENTILE = 99.5
_MIN_PEAK_PEOPLE_PER_PX = 1e-3
"""Lowest density shown as full heat, so that the faint floor of an empty photo stays invisible."""


def overlay(image: Rgb, density: Density, cell_px: float | None = None) -> Rgb:
    """The photo with its density map laid over it, uint8 [height, width, 3]; see `heat`."""
    height_px, width_px = image.shape[:2]
    strength = heat(density, height_px, width_px, cell_px)
    colours = colour_table()[np.rint(strength * 255).astype(np.uint8)]
    alpha = (strength * _MAX_ALPHA)[..., np.newaxis]
    mixed: Rgb = np.rint(image + alpha * (colours - image.astype(np.float32))).astype(np.uint8)
    return mixed


def heat(density: Density, height_px: int, width_px: int, cell_px: float | None = None) -> npt.NDArray[np.float32]:
    """Heat of each pixel, from 0 to 1.

    Heat is the square root of the density relative to the fullest cells, so that a lone head beside a packed crowd
    stays visible.

    Args:
        density: float32 [rows, columns] of square cells that cover the picture, the last ones partly: people per cell.
        height_px: Height of the picture.
        width_px: Width of the picture.
        cell_px: Side of a cell; None for `cell_side_px`.

    Returns:
        float32 [height_px, width_px].
    """
    cell_px = cell_px or cell_side_px(density, height_px, width_px)
    smooth = _smoothed(np.maximum(density, 0.0))
    peak = max(float(np.percentile(smooth, _PEAK_PERCENTILE)), _MIN_PEAK_PEOPLE_PER_PX * cell_px**2)
    covered = (0.0, 0.0, width_px / cell_px, height_px / cell_px)
    cells = Image.fromarray((smooth / peak).astype(np.float32))
    box = (0.0, 0.0, min(covered[2], cells.width), min(covered[3], cells.height))
    pixels = np.asarray(cells.resize((width_px, height_px), Image.Resampling.BICUBIC, box=box))
    strength: Density = np.sqrt(np.clip(pixels, 0.0, 1.0)).astype(np.float32)
    return strength


def cell_side_px(density: Density, height_px: int, width_px: int) -> int:
    """Side in pixels of the square cells of a map that covers an image, the last cells partly.

    It is too small for an image whose sides are under the square of the cell's: the last row and column hide that.
    """
    rows, columns = density.shape
    return max(math.ceil(height_px / rows), math.ceil(width_px / columns))


def colour_table() -> Rgb:
    """256 colours from no to full heat, uint8 [256, 3]."""
    anchors = np.array(_ANCHORS, dtype=np.float64)
    at, places = np.linspace(0.0, 1.0, 256), np.linspace(0.0, 1.0, len(anchors))
    channels = [np.interp(at, places, channel) for channel in anchors.T]
    table: Rgb = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return table


def _smoothed(density: Density) -> npt.NDArray[np.float64]:
    """A 3x3 binomial blur, which keeps the sum except at the border and hides the grid, not the heads."""
    padded = np.pad(density.astype(np.float64), 1, mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    blurred: npt.NDArray[np.float64] = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
    return blurred
