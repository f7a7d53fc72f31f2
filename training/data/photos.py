"""The material of a training run: labelled photos, their inputs and density maps, and random crops of them."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from crowdserve.cards import Normalisation
from crowdserve.datasets import Points, Sample, load_to_learn_from, split_samples
from crowdserve.density import adaptive_sigmas, density_map, fixed_sigmas
from crowdserve.images import Density, Rgb, decode_image
from crowdserve.nets.normalisation import normalise
from training.data.augmentation import with_colour_jitter, with_confetti, with_cutout, with_ground_clutter
from training.data.crop_config import CropConfig
from training.data.crops import Pair, random_crop
from training.data.feature_cache import FeatureCache
from training.data.folds import leave_fold_out
from training.data.negatives import load_negatives, make_negatives, zoomed

STRIDE_PX = 8
"""Side of a cell of the features and of the density maps, in pixels."""

NEGATIVE_SCALES = (0.3, 1.5)
"""Images without people have no scale of their own: where photos are resized, these are resized by more."""


def choose_samples(folders: Sequence[Path], config: CropConfig) -> tuple[list[Sample], list[Sample]]:
    """Photos to train on and photos to validate on.

    The scene classifier's test photos are trained on too; the `validate` split is kept apart, and official test halves
    are in neither.
    """
    samples = load_to_learn_from(folders)
    splits = split_samples(samples, config.split_seed)
    learnt = leave_fold_out(
        splits["train"] + splits["test"], samples, folds=config.folds, fold=config.fold, seed=config.split_seed
    )
    return learnt, splits["validate"]


class Photos:
    """The training material: for each photo its input (cached features or normalised pixels) and its density map."""

    def __init__(
        self,
        samples: list[Sample],
        config: CropConfig,
        normalisation: Normalisation,
        cache: FeatureCache | None,
        *,
        pad_multiple_px: int = 1,
    ) -> None:
        """Make the density maps; with a cache, compute the missing features too.

        Args:
            samples: Labelled photos.
            config: The crops that a step looks at.
            normalisation: The normalisation of pixels, where there is no cache.
            cache: Features at `STRIDE_PX`; None gives pixels.
            pad_multiple_px: Photos are extended to multiples of this with black at the bottom and right.
        """
        self.samples, self.config, self.cache = samples, config, cache
        self._normalisation, self._multiple = normalisation, pad_multiple_px
        self._views = (False, True) if config.mirrored else (False,)
        self._negatives = make_negatives(config.negatives, config.seed, config.kinds)
        if config.negative_photos:
            self._negatives += load_negatives(Path(config.negative_photos), max(STRIDE_PX, pad_multiple_px))
        if cache is not None and not config.augmented:
            self._fill(cache)
        self._targets = [
            {mirrored: self._target(sample, mirrored) for mirrored in self._views}
            for sample in tqdm(samples, desc="density maps", unit="photo")
        ]

    def _fill(self, cache: FeatureCache) -> None:
        for image in self._negatives:
            if not cache.holds(_key(image)):
                cache.write(_key(image), image)
        for sample in tqdm(self.samples, desc="features", unit="photo"):
            for mirrored in self._views:
                self._features(cache, sample, mirrored)

    def _features(self, cache: FeatureCache, sample: Sample, mirrored: bool) -> npt.NDArray[np.float16]:
        """The features of a whole photo, computed if they are not cached yet."""
        key = self._photo_key(sample)
        if not cache.holds(key, mirrored=mirrored):
            cache.write(key, self._image(sample, mirrored=mirrored), mirrored=mirrored)
        return cache.read(key, mirrored=mirrored)

    def whole(self, index: int, *, mirrored: bool = False) -> Pair:
        """Input and density map of one photo at full size."""
        sample, target = self.samples[index], self._targets[index][mirrored]
        if self.cache is not None:
            source: npt.NDArray[np.generic] = self._features(self.cache, sample, mirrored)
        else:
            source = self._pixels(self._image(sample, mirrored=mirrored))
        return source, self._extended(target, source)

    def spread(self, photos: int = 12) -> Iterator[npt.NDArray[np.generic]]:
        """Inputs of about this many whole photos, evenly spread: enough to measure the deviation of a feature."""
        for index in range(0, len(self.samples), max(1, len(self.samples) // photos)):
            yield self.whole(index)[0]

    def crop(self, draw: np.random.Generator) -> Pair:
        """A random crop of a random photo, or sometimes of an image without people."""
        side = self.config.crop_cells
        if self._negatives and draw.uniform() < self.config.negative_share:
            return self._negative_crop(self._draw_negative(draw), draw)
        mirrored = self.config.mirrored and draw.uniform() < 0.5
        index = int(draw.integers(len(self.samples)))
        if self.config.augmented:
            return self._augmented_crop(self.samples[index], mirrored, draw)
        return random_crop(self.whole(index, mirrored=mirrored), side, side, draw)

    def _augmented_crop(self, sample: Sample, mirrored: bool, draw: np.random.Generator) -> Pair:
        """A random crop of a resized photo, augmented as configured; black where the photo is smaller."""
        image = decode_image(sample.image.read_bytes())
        scale, (height, width) = self.config.draw_scale(draw), image.shape[:2]
        rows, columns = (max(1, round(scale * side / STRIDE_PX)) for side in (height, width))
        size = (columns * STRIDE_PX, rows * STRIDE_PX)
        resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
        points = sample.points * (size[0] / width, size[1] / height)
        if mirrored:
            resized, points = resized[:, ::-1], points * (-1, 1) + (size[0], 0)
        target = self._density(points, size[1], size[0])
        pixels, density = random_crop((resized, target), self.config.crop_cells, self.config.crop_cells, draw)
        augmented, density = self._augmented(np.ascontiguousarray(pixels, np.uint8), density, draw)
        return self._computed(augmented), density

    def _augmented(self, pixels: Rgb, density: Density, draw: np.random.Generator) -> tuple[Rgb, Density]:
        config = self.config
        if config.cutout and draw.uniform() < config.cutout:
            pixels, density = with_cutout(pixels, density, lambda side: self._negative_square(side, draw), draw)
        if config.ground_clutter and draw.uniform() < config.ground_clutter:
            pixels = with_ground_clutter(pixels, density, draw)
        if config.confetti and draw.uniform() < config.confetti:
            pixels = with_confetti(pixels, draw)
        if config.colour_jitter and draw.uniform() < config.colour_jitter:
            pixels = with_colour_jitter(pixels, draw)
        return pixels, density

    def batch(self, step: int) -> Pair:
        """The crops of one step, the same for the same seed: [crops, ...]."""
        draw = np.random.default_rng((self.config.seed, step))
        sources, targets = zip(*(self.crop(draw) for _ in range(self.config.crops)), strict=True)
        return np.stack(sources), np.stack(targets)

    def mean_density(self) -> float:
        """People per cell over all photos."""
        maps = [views[False] for views in self._targets]
        return float(sum(m.sum() for m in maps) / sum(m.size for m in maps))

    def _draw_negative(self, draw: np.random.Generator) -> Rgb:
        return self._negatives[int(draw.integers(len(self._negatives)))]

    def _negative_square(self, side_px: int, draw: np.random.Generator) -> Rgb:
        """A square of a random image without people, at a random scale."""
        return zoomed(self._draw_negative(draw), draw.uniform(*NEGATIVE_SCALES), side_px, draw)

    def _negative_crop(self, image: Rgb, draw: np.random.Generator) -> Pair:
        side = self.config.crop_cells
        if self.config.augmented:
            scale = draw.uniform(*NEGATIVE_SCALES) if self.config.scaled else 1.0
            pixels = zoomed(image, scale, side * STRIDE_PX, draw)
            return self._computed(pixels), np.zeros((side, side), np.float32)
        height, width = (length // STRIDE_PX for length in image.shape[:2])
        source = self._pixels(image) if self.cache is None else self.cache.read(_key(image))
        return random_crop((source, np.zeros((height, width), np.float32)), side, side, draw)

    def _computed(self, image: Rgb) -> npt.NDArray[np.generic]:
        """The input for the pixels of a crop."""
        return self._pixels(image) if self.cache is None else self.cache.compute(image)

    def _target(self, sample: Sample, mirrored: bool) -> Density:
        """The density map; that of a mirrored photo is not the mirrored map where the width is not of whole cells."""
        height, width = decode_image(sample.image.read_bytes()).shape[:2]
        return self._density(sample.points * (-1, 1) + (width, 0) if mirrored else sample.points, height, width)

    def _density(self, points: Points, height: int, width: int) -> Density:
        sigma = self.config.sigma_px
        sigmas = adaptive_sigmas(points) if sigma is None else fixed_sigmas(points, sigma)
        return density_map(points, sigmas, height, width, stride=STRIDE_PX)

    def _image(self, sample: Sample, *, mirrored: bool) -> Rgb:
        image = decode_image(sample.image.read_bytes())
        image = image[:, ::-1] if mirrored else image
        missing = [-side % self._multiple for side in image.shape[:2]]
        return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0))) if any(missing) else image

    def _photo_key(self, sample: Sample) -> str:
        return sample.key if self._multiple == 1 else f"{sample.key}-x{self._multiple}"

    def _extended(self, target: Density, source: npt.NDArray[np.generic]) -> Density:
        """A density map with empty cells at the bottom and right where the image was extended."""
        stride = STRIDE_PX if self.cache is None else 1
        missing = [source.shape[axis] // stride - target.shape[axis] for axis in (0, 1)]
        return np.pad(target, ((0, missing[0]), (0, missing[1]))) if any(missing) else target

    def _pixels(self, image: Rgb) -> npt.NDArray[np.float32]:
        height, width = (side // STRIDE_PX * STRIDE_PX for side in image.shape[:2])
        return normalise(image[:height, :width], self._normalisation)


def _key(image: Rgb) -> str:
    return f"negative-{hashlib.sha256(image.tobytes()).hexdigest()[:16]}"
