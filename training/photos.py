"""The material of a training run: labelled photos, their inputs and density maps, and random windows of them."""

import hashlib
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from crowdserve.cards import ModelCard
from crowdserve.datasets import Sample
from crowdserve.density import adaptive_sigmas, density_map, fixed_sigmas
from crowdserve.images import Density, Rgb, decode_image
from crowdserve.normalisation import normalise
from training.crops import Pair, flip, random_crop
from training.feature_cache import FeatureCache
from training.negatives import SIDE_PX, make_negatives


@dataclass(frozen=True, slots=True)
class Windows:
    """What a training step looks at.

    Attributes:
        crops: Windows in a step, each from another photo.
        crop_cells: Side of a window, in density cells of 8x8 px.
        sigma_px: Width of the Gaussian on each head; None for geometry-adaptive widths.
        negatives: Generated pictures without people; `negative_share` of the windows come from them.
        mirrored: Use mirrored photos too; doubles a cache of features.
        seed: Of the split, the windows and the initial weights.
    """

    crops: int = 3
    crop_cells: int = 48
    sigma_px: float | None = 8.0
    negatives: int = 48
    negative_share: float = 0.08
    mirrored: bool = False
    seed: int = 0


class Photos:
    """The training material: for each photo its input (cached features or normalised pixels) and its density map."""

    def __init__(self, samples: list[Sample], windows: Windows, card: ModelCard, cache: FeatureCache | None) -> None:
        """Make the density maps; with a cache, compute the missing features too."""
        self.samples, self.windows, self.cache = samples, windows, cache
        self._normalisation, self._stride = card.normalisation, card.geometry.output_stride or 1
        self._negatives = make_negatives(windows.negatives, windows.seed)
        if cache is not None:
            cache.fill(samples, mirrored=windows.mirrored)
            for picture in self._negatives:
                if not cache.path(_key(picture), mirrored=False).exists():
                    cache.write(_key(picture), picture)
        self._targets = [self._target(sample) for sample in tqdm(samples, desc="density maps", unit="photo")]

    def whole(self, index: int, *, mirrored: bool = False) -> Pair:
        """Input and density map of one photo at full size."""
        sample, target = self.samples[index], self._targets[index]
        if self.cache is not None:
            source = self.cache.read(sample.key, mirrored=mirrored)
            return source, target[:, ::-1] if mirrored else target
        pair = self._pixels(decode_image(sample.image.read_bytes()), target)
        return flip(pair) if mirrored else pair

    def window(self, draw: np.random.Generator) -> Pair:
        """A random window of a random photo, now and then of a picture without people."""
        side = self.windows.crop_cells
        if self._negatives and draw.uniform() < self.windows.negative_share:
            return random_crop(self._negative(int(draw.integers(len(self._negatives)))), side, side, draw)
        mirrored = self.windows.mirrored and draw.uniform() < 0.5
        return random_crop(self.whole(int(draw.integers(len(self.samples))), mirrored=mirrored), side, side, draw)

    def batch(self, step: int) -> Pair:
        """The windows of one step, the same for the same seed: [crops, ...]."""
        draw = np.random.default_rng((self.windows.seed, step))
        sources, targets = zip(*(self.window(draw) for _ in range(self.windows.crops)), strict=True)
        return np.stack(sources), np.stack(targets)

    def mean_density(self) -> float:
        """People a cell over all photos."""
        return float(sum(t.sum() for t in self._targets) / sum(t.size for t in self._targets))

    def _negative(self, index: int) -> Pair:
        target = np.zeros((SIDE_PX // self._stride,) * 2, np.float32)
        if self.cache is not None:
            return self.cache.read(_key(self._negatives[index])), target
        return self._pixels(self._negatives[index], target)

    def _target(self, sample: Sample) -> Density:
        height, width = decode_image(sample.image.read_bytes()).shape[:2]
        sigma = self.windows.sigma_px
        sigmas = adaptive_sigmas(sample.points) if sigma is None else fixed_sigmas(sample.points, sigma)
        return density_map(sample.points, sigmas, height, width, stride=self._stride)

    def _pixels(self, image: Rgb, target: Density) -> Pair:
        height, width = (side * self._stride for side in target.shape)
        return normalise(image[:height, :width], self._normalisation), target


def _key(picture: Rgb) -> str:
    return f"negative-{hashlib.sha256(picture.tobytes()).hexdigest()[:16]}"
