"""What may lie between a crowd and the camera: how windows of photos are varied in training.

Heads keep their labels under confetti and other colours; a patch without people takes away what it covers.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from crowdserve.images import Density, Rgb

_OVERSAMPLING = 2
"""Confetti is drawn at this many times a window's size, so that its edges are smooth."""

COVERED = (0.02, 0.35)
"""Shares of a window that confetti covers, where pieces do not overlap."""

PIECE_PX = (3.0, 14.0)
"""Long sides of pieces of confetti; those of a window are alike."""

PATCH = (0.2, 0.6)
"""Height and width of a patch, as shares of a window's."""


def with_confetti(image: Rgb, draw: np.random.Generator) -> Rgb:
    """A picture behind confetti, falling or on the ground: uint8 [height, width, 3]."""
    height, width = (_OVERSAMPLING * side for side in image.shape[:2])
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
    smooth = sheet.resize(image.shape[1::-1], Image.Resampling.BOX)
    return np.array(Image.alpha_composite(Image.fromarray(image).convert("RGBA"), smooth).convert("RGB"))


def _corners(sides: np.ndarray, size: tuple[int, int], draw: np.random.Generator) -> np.ndarray:
    """Turned rectangles at random places within a picture: sides [n, 2] -> (x, y) of corners [n, 4, 2]."""
    turn = draw.uniform(0, np.pi, len(sides))
    along = np.stack([np.cos(turn), np.sin(turn)], axis=1) * sides[:, :1] / 2
    across = np.stack([-np.sin(turn), np.cos(turn)], axis=1) * sides[:, 1:] / 2
    middle = draw.uniform((0, 0), size, (len(sides), 2))
    return middle[:, np.newaxis] + np.stack([along + across, along - across, -along - across, across - along], axis=1)


def with_patch(
    image: Rgb, density: Density, fill: Callable[[int], Rgb], draw: np.random.Generator
) -> tuple[Rgb, Density]:
    """A picture of which something without people hides a rectangle of whole cells; its density there is nothing.

    Args:
        image: uint8 [height, width, 3].
        density: People a cell, [rows, columns].
        fill: Side in px -> a square picture without people, uint8 [side, side, 3].
        draw: Decides where.
    """
    cells, stride = np.array(density.shape), image.shape[0] // density.shape[0]
    extent = np.maximum(1, (cells * draw.uniform(*PATCH, 2)).astype(int))
    top, left = (int(draw.integers(free + 1)) for free in cells - extent)
    rows, columns = slice(top, top + extent[0]), slice(left, left + extent[1])
    image, density = image.copy(), density.copy()
    hidden = image[rows.start * stride : rows.stop * stride, columns.start * stride : columns.stop * stride]
    hidden[:] = fill(max(hidden.shape[:2]))[: hidden.shape[0], : hidden.shape[1]]
    density[rows, columns] = 0
    return image, density


def recoloured(image: Rgb, draw: np.random.Generator) -> Rgb:
    """A picture in other light: brightness and contrast by up to a third, from no colour to a third more."""
    picture = Image.fromarray(image)
    for enhance, (low, high) in (
        (ImageEnhance.Brightness, (0.7, 1.35)),
        (ImageEnhance.Contrast, (0.7, 1.35)),
        (ImageEnhance.Color, (0.0, 1.35)),
    ):
        picture = enhance(picture).enhance(draw.uniform(low, high))
    return np.array(picture)
