"""Windows of photos for a training step: a random place, scale, light and disturbance, and the heads in the window."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

from crowdserve.datasets import Points
from crowdserve.images import Density, Rgb
from training.data.augmentation import with_colour_jitter, with_confetti, with_cutout, with_ground_clutter
from training.data.negatives import zoomed
from training.every_layer.packed import Photo

CELL_PX = 8
"""Side of a cell of the targets."""

_FINE_PX = 4
_MARGIN_PX = 32
_EMPTY_SCALES = (0.3, 1.5)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How windows are drawn; shares are of all windows of photos.

    Attributes:
        height: Height of a window, px; a multiple of 64.
        width: Width of a window, px; a multiple of 64.
        batch: Windows per step.
        scales: Limits of the random factor that photos are resized by.
        own_scale: Share that keeps nearly the photo's own scale.
        sigma_px: Width of the Gaussian on each head.
        empty: Share of all windows that show an image without people.
        cutout: Share of which a part is hidden behind an image without people.
        clutter: Share with clutter on the ground.
        confetti: Share behind confetti.
        jitter: Share in other light.
        grey: Share without colour.
        blur: Share out of focus.
        jpeg: Share that is compressed again.
        tiled: Share that shows small copies of a photo side by side.
    """

    height: int = 512
    width: int = 512
    batch: int = 16
    scales: tuple[float, float] = (0.6, 1.6)
    own_scale: float = 0.4
    sigma_px: float = 8.0
    empty: float = 0.06
    cutout: float = 0.12
    clutter: float = 0.06
    confetti: float = 0.06
    jitter: float = 0.3
    grey: float = 0.15
    blur: float = 0.12
    jpeg: float = 0.12
    tiled: float = 0.02


@dataclass(frozen=True, slots=True)
class Batch:
    """The windows of a step.

    Attributes:
        images: uint8 [batch, height, width, 3].
        density: People per cell of 8 px, each head a Gaussian, [batch, h, w].
        heads: Labelled heads per cell of 8 px, [batch, h, w].
    """

    images: npt.NDArray[np.uint8]
    density: Floats
    heads: Floats


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

    def batches(self, seed: Sequence[int]) -> Iterator[Batch]:
        """Batches without end."""
        draw = np.random.default_rng(seed)
        while True:
            windows = [self.window(draw) for _ in range(self.config.batch)]
            images, density, heads = (np.stack(parts) for parts in zip(*windows, strict=True))
            yield Batch(images, density, heads)

    def window(self, draw: np.random.Generator) -> tuple[Rgb, Density, Floats]:
        """One window: image, density, heads per cell."""
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


def targets(points: Points, height: int, width: int, sigma_px: float) -> tuple[Density, Floats]:
    """People per cell with each head a Gaussian, and heads per cell; heads just outside give their part of the first.

    Args:
        points: Heads (x, y) in px of the window; those far outside are ignored.
        height: Height of the window, px.
        width: Width of the window, px.
        sigma_px: Width of the Gaussian.
    """
    margin, cell = _MARGIN_PX // _FINE_PX, CELL_PX // _FINE_PX
    fine = _histogram(points + _MARGIN_PX, height + 2 * _MARGIN_PX, width + 2 * _MARGIN_PX, _FINE_PX)
    smooth = gaussian_filter(fine, sigma_px / _FINE_PX, mode="constant", truncate=3.0)[margin:-margin, margin:-margin]
    rows, columns = height // CELL_PX, width // CELL_PX
    density = smooth.reshape(rows, cell, columns, cell).sum(axis=(1, 3))
    return density.astype(np.float32), _histogram(points, height, width, CELL_PX)


def _histogram(points: Points, height: int, width: int, cell_px: int) -> Floats:
    rows, columns = height // cell_px, width // cell_px
    x, y = np.floor(points / cell_px).astype(int).T
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    counts = np.bincount(y[inside] * columns + x[inside], minlength=rows * columns)
    return counts.reshape(rows, columns).astype(np.float32)


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
