"""Pictures without people, generated: they teach a counting network to answer zero.

A density network that only ever saw crowds leaves a floor of density on plain walls, skies, noise and stripes.
"""

import numpy as np
from PIL import Image, ImageFilter

from crowdserve.images import Rgb

SIDE_PX = 384

GREYS = (0, 255, 128, 160, 64, 192, 96, 224, 144, 176, 32, 112, 208, 80, 240, 16, 152, 48, 168, 136, 184, 120, 200, 104)
"""Levels of the even greys, far apart first."""


def make_negatives(count: int, seed: int) -> list[Rgb]:
    """Plain colours, gradients, clouds, noise, stripes and tiles: uint8 [`SIDE_PX`, `SIDE_PX`, 3] each.

    Of every two, one is an even grey, from black to white over the first `2 * len(GREYS)`: what a covered, foggy or
    overexposed camera sends, and what a network fills with people most readily when it has not seen it.
    """
    draw = np.random.default_rng(seed)
    kinds = (_gradient, _clouds, _noise, _stripes, _tiles, _plain)
    pictures: list[Rgb] = []
    for i in range(-(-count // 2)):
        pictures.append(np.full((SIDE_PX, SIDE_PX, 3), GREYS[i % len(GREYS)], np.uint8))
        pictures.append(kinds[i % len(kinds)](draw))
    return pictures[:count]


def _colour(draw: np.random.Generator) -> np.ndarray:
    return draw.integers(0, 256, 3).astype(np.float64)


def _picture(values: np.ndarray) -> Rgb:
    return np.clip(values, 0, 255).astype(np.uint8)


def _blend(weights: np.ndarray, draw: np.random.Generator) -> Rgb:
    """Two random colours mixed by weights [side, side] in 0 to 1."""
    first, second = _colour(draw), _colour(draw)
    return _picture(first + weights[..., np.newaxis] * (second - first))


def _plain(draw: np.random.Generator) -> Rgb:
    return _picture(_colour(draw) + draw.normal(0, 3, (SIDE_PX, SIDE_PX, 3)))


def _gradient(draw: np.random.Generator) -> Rgb:
    across, down = np.meshgrid(np.linspace(0, 1, SIDE_PX), np.linspace(0, 1, SIDE_PX))
    turn = draw.uniform()
    return _blend(turn * across + (1 - turn) * down, draw)


def _clouds(draw: np.random.Generator) -> Rgb:
    """Noise of several octaves: skies, smoke, foliage."""
    total = np.zeros((SIDE_PX, SIDE_PX))
    for octave in range(int(draw.integers(3, 8))):
        noise = Image.fromarray(draw.integers(0, 256, (3 * 2**octave,) * 2, dtype=np.uint8))
        total += np.asarray(noise.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)) / 2.0**octave
    return _blend((total - total.min()) / np.ptp(total), draw)


def _noise(draw: np.random.Generator) -> Rgb:
    picture = Image.fromarray(_picture(draw.normal(draw.uniform(60, 200), draw.uniform(10, 80), (SIDE_PX, SIDE_PX, 3))))
    return np.array(picture.filter(ImageFilter.GaussianBlur(draw.uniform(0, 3))))


def _stripes(draw: np.random.Generator) -> Rgb:
    across, down = np.meshgrid(np.arange(SIDE_PX), np.arange(SIDE_PX))
    angle, period = draw.uniform(0, np.pi), draw.uniform(6, 60)
    return _blend((np.sin(2 * np.pi * (across * np.cos(angle) + down * np.sin(angle)) / period) > 0) * 1.0, draw)


def _tiles(draw: np.random.Generator) -> Rgb:
    """A wall: tiles of slightly different shade with dark joints."""
    tile = int(draw.integers(8, 64))
    rows = -(-SIDE_PX // tile)
    shade = np.kron(draw.normal(0, 12, (rows, rows)), np.ones((tile, tile)))[:SIDE_PX, :SIDE_PX]
    across, down = np.meshgrid(np.arange(SIDE_PX) % tile, np.arange(SIDE_PX) % tile)
    joints = np.where((across < 2) | (down < 2), -40.0, 0.0)
    return _picture(_colour(draw) + (shade + joints)[..., np.newaxis])
