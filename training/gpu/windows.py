"""Windows of photos for a training step: a random place, scale, light and disturbance, and the heads in the window."""

import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageFilter

from crowdserve.datasets import Points
from crowdserve.images import Density, Rgb
from training.data.augmentation import with_colour_jitter, with_confetti, with_cutout, with_ground_clutter
from training.data.negatives import zoomed
from training.gpu.packed import Photo
from training.gpu.targets import CELL_PX, Floats, targets
from training.gpu.window_config import WindowConfig

_EMPTY_SCALES = (0.3, 1.5)

Window = tuple[Rgb, Density, Floats]
"""Image uint8 [height, width, 3], people per cell of 8 px with each head a Gaussian, labelled heads per cell."""


class Windows:
    """An endless stream of windows of labelled photos."""

    def __init__(
        self, sets: Sequence[tuple[float, Sequence[Photo]]], empty: Sequence[Rgb], config: WindowConfig
    ) -> None:
        """Take the material.

        Args:
            sets: Data sets with their shares of the windows.
            empty: Images without people.
            config: How windows are drawn.
        """
        total = sum(share for share, _ in sets)
        self._shares = [share / total for share, _ in sets]
        self._sets = [photos for _, photos in sets]
        self._empty, self.config = empty, config

    def batches(self, seed: Sequence[int]) -> Iterator[Window]:
        """Windows by the batch, stacked, without end."""
        draw = np.random.default_rng(seed)
        while True:
            windows = [self.window(draw) for _ in range(self.config.batch)]
            images, density, heads = (np.stack(parts) for parts in zip(*windows, strict=True))
            yield images, density, heads

    def window(self, draw: np.random.Generator) -> Window:
        """One window."""
        config = self.config
        rows, columns = config.height // CELL_PX, config.width // CELL_PX
        if self._empty and draw.uniform() < config.empty:
            image = self._empty_square(max(config.height, config.width), draw)[: config.height, : config.width]
            nothing = np.zeros((rows, columns), np.float32)
            return self._disturbed(image, draw), nothing, nothing
        photos = self._sets[int(draw.choice(len(self._sets), p=self._shares))]
        photo = photos[int(draw.integers(len(photos)))]
        if draw.uniform() < config.tiled:
            photo = _tiled(photo, draw)
            image, points = _cut(photo, 1.0, config, draw)
        else:
            own = draw.uniform() < config.own_scale
            limits = (0.92, 1.08) if own else config.scales
            image, points = _cut(photo, float(np.exp(draw.uniform(*np.log(limits)))), config, draw)
        if draw.uniform() < 0.5:
            image, points = image[:, ::-1], points * (-1, 1) + (config.width, 0)
        image = np.ascontiguousarray(image)
        density, heads = targets(points, config.height, config.width, config.sigma_px)
        if self._empty and draw.uniform() < config.cutout:
            image, hidden = with_cutout(image, density, lambda side: self._empty_square(side, draw), draw)
            heads, density = np.where((hidden == 0) & (density > 0), 0, heads).astype(np.float32), hidden
        if draw.uniform() < config.clutter:
            image = with_ground_clutter(image, density, draw)
        if draw.uniform() < config.confetti:
            image = with_confetti(image, draw)
        return self._disturbed(image, draw), density, heads

    def _empty_square(self, side_px: int, draw: np.random.Generator) -> Rgb:
        image = self._empty[int(draw.integers(len(self._empty)))]
        return zoomed(image, draw.uniform(*_EMPTY_SCALES), side_px, draw)

    def _disturbed(self, image: Rgb, draw: np.random.Generator) -> Rgb:
        """An image in other light, grey, out of focus or compressed again."""
        config = self.config
        if draw.uniform() < config.jitter:
            image = with_colour_jitter(image, draw)
        if draw.uniform() < config.grey:
            image = np.array(Image.fromarray(image).convert("L").convert("RGB"))
        if draw.uniform() < config.blur:
            image = np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(draw.uniform(0.4, 2.0))))
        if draw.uniform() < config.jpeg:
            file = io.BytesIO()
            Image.fromarray(image).save(file, "JPEG", quality=int(draw.integers(25, 85)))
            image = np.array(Image.open(file))
        return image


def _cut(photo: Photo, scale: float, config: WindowConfig, draw: np.random.Generator) -> tuple[Rgb, Points]:
    """A random window of a resized photo; black at the right and below where the photo is smaller."""
    height, width = photo.image.shape[:2]
    rows, columns = min(height, round(config.height / scale)), min(width, round(config.width / scale))
    top, left = int(draw.integers(height - rows + 1)), int(draw.integers(width - columns + 1))
    size = min(config.width, round(columns * scale)), min(config.height, round(rows * scale))
    part = Image.fromarray(photo.image[top : top + rows, left : left + columns])
    if size != part.size:
        part = part.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    window = np.zeros((config.height, config.width, 3), np.uint8)
    window[: size[1], : size[0]] = part
    points = (photo.points - (left, top)) * (size[0] / columns, size[1] / rows)
    if size != (config.width, config.height):  # heads outside the part, which its black border would seem to hold
        points = points[(points < size).all(axis=1)]
    return window, points


def _tiled(photo: Photo, draw: np.random.Generator) -> Photo:
    """Small copies of a photo side by side, as a wall of screens or a contact sheet shows it."""
    copies = int(draw.integers(2, 4))
    height, width = (max(64, round(side / copies)) for side in photo.image.shape[:2])
    small = np.asarray(Image.fromarray(photo.image).resize((width, height), Image.Resampling.BILINEAR))
    points = photo.points * (width / photo.image.shape[1], height / photo.image.shape[0])
    steps = [(x * width, y * height) for y in range(copies) for x in range(copies)]
    return Photo(np.tile(small, (copies, copies, 1)), np.concatenate([points + step for step in steps]))
