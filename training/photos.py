"""The material of a training run: labelled photos, their inputs and density maps, and random windows of them."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from training.crops import Pair, random_crop
from training.feature_cache import FeatureCache
from training.folds import leave_fold_out
from training.negatives import GREY, KINDS, load_negatives, make_negatives, zoomed
from training.variation import recoloured, with_confetti, with_litter, with_patch

STRIDE_PX = 8
"""Pixels a side of a cell of the features and of the density maps."""

NEGATIVE_SCALES = (0.3, 1.5)
"""Pictures without people have no scale of their own: where photos are resized, they are, by more."""


@dataclass(frozen=True, slots=True)
class Windows:
    """What a training step looks at.

    Attributes:
        crops: Windows in a step, each from another photo.
        crop_cells: Side of a window, in density cells of 8x8 px.
        sigma_px: Width of the Gaussian on each head; None, or `adaptive` as a flag, for geometry-adaptive widths.
        negatives: How many generated pictures without people to make.
        negative_share: Share of the windows that come from pictures without people.
        negative_kinds: Kinds of generated pictures, with commas, as `training.negatives` names them: a kind that the
            network finds hard may stand there alone, or twice. All, and every other one grey, if empty.
        negative_photos: Folder of photos without people to use too; none if empty.
        mirrored: Use mirrored photos too; doubles a cache of features.
        min_scale: Photos are resized by random factors from here to `max_scale`. Unless both are 1, and the next four
            shares 0, features of windows are computed at every step instead of cached.
        max_scale: As if the camera had stood nearer (over 1) or further away.
        confetti: Share of the windows of photos that confetti is drawn over, see `training.variation`.
        littered: Share of them whose ground is littered between the heads.
        patches: Share of them of which a picture without people hides a part.
        recoloured: Share of them that show other light.
        seed: Of the windows, the generated pictures and the initial weights.
        split_seed: Of the split; changing it would let photos that were trained on into the validation.
        folds: Folds of the photos for cross-fitting; one trains on all.
        fold: The fold that is left out.
    """

    crops: int = 3
    crop_cells: int = 48
    sigma_px: float | None = 8.0
    negatives: int = 48
    negative_kinds: str = ""
    negative_photos: str = ""
    negative_share: float = 0.08
    mirrored: bool = False
    min_scale: float = 1.0
    max_scale: float = 1.0
    confetti: float = 0.0
    littered: float = 0.0
    patches: float = 0.0
    recoloured: float = 0.0
    seed: int = 0
    split_seed: int = 0
    folds: int = 1
    fold: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.min_scale <= self.max_scale:
            raise ValueError(
                f"--min-scale {self.min_scale} --max-scale {self.max_scale}: expected factors over 0, smaller first"
            )
        for name in ("negative_share", "confetti", "littered", "patches", "recoloured"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected a share from 0 to 1")
        if self.patches and not self.negatives and not self.negative_photos:
            raise ValueError("--patches hides parts of photos behind pictures without people; give some --negatives")
        if unknown := set(self.kinds) - {GREY, *KINDS}:
            known = ", ".join((GREY, *KINDS))
            raise ValueError(f"--negative-kinds {','.join(sorted(unknown))}: expected some of {known}, with commas")

    @property
    def kinds(self) -> list[str]:
        """Of `KINDS` or `GREY`; empty for the usual order."""
        return self.negative_kinds.split(",") if self.negative_kinds else []

    @property
    def scaled(self) -> bool:
        """Whether windows show photos at other sizes than their own."""
        return self.min_scale != 1 or self.max_scale != 1

    @property
    def varied(self) -> bool:
        """Whether windows differ from the photos in any way, so that their features cannot be cached."""
        return self.scaled or max(self.confetti, self.littered, self.patches, self.recoloured) > 0

    def draw_scale(self, draw: np.random.Generator) -> float:
        """A random factor; halving is as likely as doubling where both are within the limits."""
        return float(np.exp(draw.uniform(np.log(self.min_scale), np.log(self.max_scale))))

    def for_validation(self) -> "Windows":
        """The same for photos that are only looked at whole."""
        return dataclasses.replace(
            self,
            mirrored=False,
            min_scale=1.0,
            max_scale=1.0,
            confetti=0.0,
            littered=0.0,
            patches=0.0,
            recoloured=0.0,
            negatives=0,
            negative_photos="",
        )


def choose_samples(folders: Sequence[Path], windows: Windows) -> tuple[list[Sample], list[Sample]]:
    """Photos to learn from and photos to validate on.

    The scene classifier's test photos are learnt from too; the `validate` split is kept apart, and official test halves
    are in neither.
    """
    samples = load_to_learn_from(folders)
    splits = split_samples(samples, windows.split_seed)
    learnt = leave_fold_out(
        splits["train"] + splits["test"], samples, folds=windows.folds, fold=windows.fold, seed=windows.split_seed
    )
    return learnt, splits["validate"]


class Photos:
    """The training material: for each photo its input (cached features or normalised pixels) and its density map."""

    def __init__(
        self,
        samples: list[Sample],
        windows: Windows,
        normalisation: Normalisation,
        cache: FeatureCache | None,
        *,
        pad_multiple_px: int = 1,
    ) -> None:
        """Make the density maps; with a cache, compute the missing features too.

        Args:
            samples: Labelled photos.
            windows: What a step looks at.
            normalisation: Of pixels, where there is no cache.
            cache: Features at `STRIDE_PX`; None gives pixels.
            pad_multiple_px: Photos are extended to multiples of this with black at the bottom and right.
        """
        self.samples, self.windows, self.cache = samples, windows, cache
        self._normalisation, self._multiple = normalisation, pad_multiple_px
        self._views = (False, True) if windows.mirrored else (False,)
        self._negatives = make_negatives(windows.negatives, windows.seed, windows.kinds)
        if windows.negative_photos:
            self._negatives += load_negatives(Path(windows.negative_photos), max(STRIDE_PX, pad_multiple_px))
        if cache is not None and not windows.varied:
            self._fill(cache)
        self._targets = [
            {mirrored: self._target(sample, mirrored) for mirrored in self._views}
            for sample in tqdm(samples, desc="density maps", unit="photo")
        ]

    def _fill(self, cache: FeatureCache) -> None:
        for picture in self._negatives:
            if not cache.holds(_key(picture)):
                cache.write(_key(picture), picture)
        for sample in tqdm(self.samples, desc="features", unit="photo"):
            for mirrored in self._views:
                self._features(cache, sample, mirrored)

    def _features(self, cache: FeatureCache, sample: Sample, mirrored: bool) -> npt.NDArray[np.float16]:
        """Of a whole photo, computed if they are not cached yet."""
        key = self._photo_key(sample)
        if not cache.holds(key, mirrored=mirrored):
            cache.write(key, self._picture(sample, mirrored=mirrored), mirrored=mirrored)
        return cache.read(key, mirrored=mirrored)

    def whole(self, index: int, *, mirrored: bool = False) -> Pair:
        """Input and density map of one photo at full size."""
        sample, target = self.samples[index], self._targets[index][mirrored]
        if self.cache is not None:
            source: npt.NDArray[np.generic] = self._features(self.cache, sample, mirrored)
        else:
            source = self._pixels(self._picture(sample, mirrored=mirrored))
        return source, self._extended(target, source)

    def spread(self, photos: int = 12) -> Iterator[npt.NDArray[np.generic]]:
        """Inputs of about so many whole photos, evenly spread: enough to measure a feature's deviation."""
        for index in range(0, len(self.samples), max(1, len(self.samples) // photos)):
            yield self.whole(index)[0]

    def window(self, draw: np.random.Generator) -> Pair:
        """A random window of a random photo, now and then of a picture without people."""
        side = self.windows.crop_cells
        if self._negatives and draw.uniform() < self.windows.negative_share:
            return self._negative_window(self._draw_negative(draw), draw)
        mirrored = self.windows.mirrored and draw.uniform() < 0.5
        index = int(draw.integers(len(self.samples)))
        if self.windows.varied:
            return self._varied_window(self.samples[index], mirrored, draw)
        return random_crop(self.whole(index, mirrored=mirrored), side, side, draw)

    def _varied_window(self, sample: Sample, mirrored: bool, draw: np.random.Generator) -> Pair:
        """A random window of a resized photo, varied as `windows` says; black where the photo is smaller."""
        image = decode_image(sample.image.read_bytes())
        scale, (height, width) = self.windows.draw_scale(draw), image.shape[:2]
        rows, columns = (max(1, round(scale * side / STRIDE_PX)) for side in (height, width))
        size = (columns * STRIDE_PX, rows * STRIDE_PX)
        resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
        points = sample.points * (size[0] / width, size[1] / height)
        if mirrored:
            resized, points = resized[:, ::-1], points * (-1, 1) + (size[0], 0)
        target = self._density(points, size[1], size[0])
        pixels, density = random_crop((resized, target), self.windows.crop_cells, self.windows.crop_cells, draw)
        varied, density = self._varied(np.ascontiguousarray(pixels, np.uint8), density, draw)
        return self._computed(varied), density

    def _varied(self, pixels: Rgb, density: Density, draw: np.random.Generator) -> tuple[Rgb, Density]:
        windows = self.windows
        if windows.patches and draw.uniform() < windows.patches:
            pixels, density = with_patch(pixels, density, lambda side: self._negative_square(side, draw), draw)
        if windows.littered and draw.uniform() < windows.littered:
            pixels = with_litter(pixels, density, draw)
        if windows.confetti and draw.uniform() < windows.confetti:
            pixels = with_confetti(pixels, draw)
        if windows.recoloured and draw.uniform() < windows.recoloured:
            pixels = recoloured(pixels, draw)
        return pixels, density

    def batch(self, step: int) -> Pair:
        """The windows of one step, the same for the same seed: [crops, ...]."""
        draw = np.random.default_rng((self.windows.seed, step))
        sources, targets = zip(*(self.window(draw) for _ in range(self.windows.crops)), strict=True)
        return np.stack(sources), np.stack(targets)

    def mean_density(self) -> float:
        """People a cell over all photos."""
        maps = [views[False] for views in self._targets]
        return float(sum(m.sum() for m in maps) / sum(m.size for m in maps))

    def _draw_negative(self, draw: np.random.Generator) -> Rgb:
        return self._negatives[int(draw.integers(len(self._negatives)))]

    def _negative_square(self, side_px: int, draw: np.random.Generator) -> Rgb:
        """A square of a random picture without people, at a random size of it."""
        return zoomed(self._draw_negative(draw), draw.uniform(*NEGATIVE_SCALES), side_px, draw)

    def _negative_window(self, picture: Rgb, draw: np.random.Generator) -> Pair:
        side = self.windows.crop_cells
        if self.windows.varied:
            scale = draw.uniform(*NEGATIVE_SCALES) if self.windows.scaled else 1.0
            pixels = zoomed(picture, scale, side * STRIDE_PX, draw)
            return self._computed(pixels), np.zeros((side, side), np.float32)
        height, width = (length // STRIDE_PX for length in picture.shape[:2])
        source = self._pixels(picture) if self.cache is None else self.cache.read(_key(picture))
        return random_crop((source, np.zeros((height, width), np.float32)), side, side, draw)

    def _computed(self, picture: Rgb) -> npt.NDArray[np.generic]:
        """The input that a window's pixels give."""
        return self._pixels(picture) if self.cache is None else self.cache.compute(picture)

    def _target(self, sample: Sample, mirrored: bool) -> Density:
        """The density map; a mirrored one is no mirror image of the other where the width is not of whole cells."""
        height, width = decode_image(sample.image.read_bytes()).shape[:2]
        return self._density(sample.points * (-1, 1) + (width, 0) if mirrored else sample.points, height, width)

    def _density(self, points: Points, height: int, width: int) -> Density:
        sigma = self.windows.sigma_px
        sigmas = adaptive_sigmas(points) if sigma is None else fixed_sigmas(points, sigma)
        return density_map(points, sigmas, height, width, stride=STRIDE_PX)

    def _picture(self, sample: Sample, *, mirrored: bool) -> Rgb:
        image = decode_image(sample.image.read_bytes())
        image = image[:, ::-1] if mirrored else image
        missing = [-side % self._multiple for side in image.shape[:2]]
        return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0))) if any(missing) else image

    def _photo_key(self, sample: Sample) -> str:
        return sample.key if self._multiple == 1 else f"{sample.key}-x{self._multiple}"

    def _extended(self, target: Density, source: npt.NDArray[np.generic]) -> Density:
        """A density map with empty cells at the bottom and right where the picture was extended."""
        stride = STRIDE_PX if self.cache is None else 1
        missing = [source.shape[axis] // stride - target.shape[axis] for axis in (0, 1)]
        return np.pad(target, ((0, missing[0]), (0, missing[1]))) if any(missing) else target

    def _pixels(self, image: Rgb) -> npt.NDArray[np.float32]:
        height, width = (side // STRIDE_PX * STRIDE_PX for side in image.shape[:2])
        return normalise(image[:height, :width], self._normalisation)


def _key(picture: Rgb) -> str:
    return f"negative-{hashlib.sha256(picture.tobytes()).hexdigest()[:16]}"
