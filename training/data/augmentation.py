"""Augmentation of crops in training: confetti, ground clutter, cutout and colour jitter.

Heads keep their labels behind confetti, above clutter and in other colours; a cutout removes the people that it hides.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageEnhance
from scipy.ndimage import maximum_filter

from crowdserve.images import Density, Rgb

_Reals = npt.NDArray[np.float64]

_OVERSAMPLING = 2
"""Confetti is drawn at this many times the size of a crop, so that its edges are smooth."""

COVERED = (0.02, 0.35)
"""Shares of a crop that confetti covers, where pieces do not overlap."""

PIECE_PX = (3.0, 14.0)
"""Long sides of pieces of confetti; the pieces in one crop are alike."""

FLAKE_PX = (1.5, 6.0)
"""Sides of the flakes that clutter the ground; the flakes in one crop are alike."""

FLAKE_LAYERS = 3
"""Number of grids of flakes, laid over each other at different angles, so that together they show no grid."""

HEAD = 0.3
"""Clutter ends around each head: where the density is over this share of the largest within `HEAD_CELLS` cells."""

HEAD_CELLS = 7

CUTOUT = (0.2, 0.6)
"""Height and width of a cutout, as shares of the crop's."""


def _size(image: Rgb) -> tuple[int, int]:
    """Width and height, as Pillow has them."""
    height, width = image.shape[:2]
    return width, height


def with_confetti(image: Rgb, draw: np.random.Generator) -> Rgb:
    """An image behind confetti, falling or on the ground: uint8 [height, width, 3]."""
    size = _size(image)
    width, height = (_OVERSAMPLING * side for side in size)
    sheet = Image.new("RGBA", (width, height))
    paint = ImageDraw.Draw(sheet)
    long = _OVERSAMPLING * np.exp(draw.uniform(*np.log(PIECE_PX)))
    slender = draw.uniform(0.3, 1.0)
    count = int(draw.uniform(*COVERED) * height * width / (slender * long**2))
    palette = draw.integers(0, 256, (int(draw.integers(1, 7)), 3))
    colours = palette[draw.integers(len(palette), size=count)] * draw.uniform(0.7, 1.2, (count, 1))
    sides = long * draw.uniform(0.6, 1.4, (count, 1)) * np.array([1.0, slender]) * draw.uniform(0.4, 1.0, (count, 2))
    for corners, colour in zip(_corners(sides, (width, height), draw), colours.clip(0, 255).astype(int), strict=True):
        paint.polygon(corners.ravel().tolist(), fill=(*colour.tolist(), 255))
    smooth = sheet.resize(size, Image.Resampling.BOX)
    return np.array(Image.alpha_composite(Image.fromarray(image).convert("RGBA"), smooth).convert("RGB"))


def _corners(sides: _Reals, size: tuple[int, int], draw: np.random.Generator) -> _Reals:
    """Rotated rectangles at random places within an image: sides [n, 2] -> (x, y) of corners [n, 4, 2]."""
    turn = draw.uniform(0, np.pi, len(sides))
    along = np.stack([np.cos(turn), np.sin(turn)], axis=1) * sides[:, :1] / 2
    across = np.stack([-np.sin(turn), np.cos(turn)], axis=1) * sides[:, 1:] / 2
    middle = draw.uniform((0, 0), size, (len(sides), 2))
    return middle[:, np.newaxis] + np.stack([along + across, along - across, -along - across, across - along], axis=1)


def with_ground_clutter(image: Rgb, density: Density, draw: np.random.Generator) -> Rgb:
    """An image with clutter on the ground between the heads: paper after a parade, petals, leaves, gravel.

    Flakes have one to five colours and cover the ground from thinly to wholly. Where heads are so close that there is
    no ground between them, nothing changes.

    Args:
        image: uint8 [height, width, 3].
        density: People per cell, [rows, columns].
        draw: The generator that decides how much, and which colours.
    """
    size = _size(image)
    heads = density > np.maximum(HEAD * maximum_filter(density, HEAD_CELLS), 1e-4)
    ground = _smoothly(1.0 - heads, size, Image.Resampling.BILINEAR)
    cover = _smoothly(draw.normal(draw.uniform(-0.6, 1.2), 0.6, (4, 4)), size, Image.Resampling.BICUBIC)
    cover = cover.clip(0.0, 0.97) / FLAKE_LAYERS * 2
    side, palette = np.exp(draw.uniform(*np.log(FLAKE_PX))), draw.integers(0, 256, (int(draw.integers(1, 6)), 3))
    cluttered = image.astype(np.float32)
    for _ in range(FLAKE_LAYERS):
        flakes, chance = _flakes(size, side * draw.uniform(0.8, 1.25), palette, draw)
        lies = (chance < cover) * ground
        cluttered += lies[..., np.newaxis] * (flakes - cluttered)
    return cluttered.round().astype(np.uint8)


def _flakes(
    size: tuple[int, int], side_px: float, palette: npt.NDArray[np.int64], draw: np.random.Generator
) -> tuple[npt.NDArray[np.float32], _Reals]:
    """A rotated grid of squares, each of one colour and one number in 0 to 1: [height, width, 3], [height, width]."""
    width, height = size
    reach = int(np.hypot(width, height)) + 2  # a square of this side covers the image at any angle
    squares = int(reach / side_px) + 1
    shades = draw.uniform(0.75, 1.2, (squares, squares, 1))
    colours = shades * palette[draw.integers(len(palette), size=(squares, squares))]
    numbers = draw.uniform(0, 255, (squares, squares, 1))
    grid = np.concatenate([colours, numbers], axis=2).clip(0, 255).astype(np.uint8)
    turned = Image.fromarray(grid, "RGBA").resize((reach, reach), Image.Resampling.NEAREST).rotate(draw.uniform(0, 90))
    left, top = (reach - width) // 2, (reach - height) // 2
    whole = np.asarray(turned.crop((left, top, left + width, top + height)))
    return whole[..., :3].astype(np.float32), whole[..., 3] / 255


def _smoothly(
    array: npt.NDArray[np.floating[Any]], size: tuple[int, int], method: Image.Resampling
) -> npt.NDArray[np.float32]:
    """A small map at an image's size: [height, width]."""
    return np.asarray(Image.fromarray(array.astype(np.float32)).resize(size, method))


def with_cutout(
    image: Rgb, density: Density, fill: Callable[[int], Rgb], draw: np.random.Generator
) -> tuple[Rgb, Density]:
    """An image with a rectangle of whole cells hidden behind something without people; its density there is zero.

    Args:
        image: uint8 [height, width, 3].
        density: People per cell, [rows, columns].
        fill: Side in px -> a square image without people, uint8 [side, side, 3].
        draw: The generator that decides where.
    """
    cells, stride = np.array(density.shape), image.shape[0] // density.shape[0]
    extent = np.maximum(1, (cells * draw.uniform(*CUTOUT, 2)).astype(int))
    top, left = (int(draw.integers(free + 1)) for free in cells - extent)
    rows, columns = slice(top, top + extent[0]), slice(left, left + extent[1])
    image, density = image.copy(), density.copy()
    hidden = image[rows.start * stride : rows.stop * stride, columns.start * stride : columns.stop * stride]
    hidden[:] = fill(max(hidden.shape[:2]))[: hidden.shape[0], : hidden.shape[1]]
    density[rows, columns] = 0
    return image, density


def with_colour_jitter(image: Rgb, draw: np.random.Generator) -> Rgb:
    """An image in other light: brightness and contrast change by up to a third, colour from none to a third more."""
    jittered = Image.fromarray(image)
    for enhance, (low, high) in (
        (ImageEnhance.Brightness, (0.7, 1.35)),
        (ImageEnhance.Contrast, (0.7, 1.35)),
        (ImageEnhance.Color, (0.0, 1.35)),
    ):
        jittered = enhance(jittered).enhance(draw.uniform(low, high))
    return np.array(jittered)
