"""Other looks of a photo: grey, out of focus, far away, several times over, at night. The scene stays the same.

    python -m training.scene.variants scenes --train 3

writes beside each photo of a scene data set (`training.scene.dataset`) pictures called <photo>@<variant>.jpg: as many
variants as --train says, drawn anew for each photo, into the training split, and every variant into the other two, so
that they judge each kind. A classifier that has seen the look of two data sets alone is confidently wrong about a third
one: very dense crowds on old grey photos were taken for streets. A street several times over is a crowd, so sparse
photos are not tiled.
"""

import argparse
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter
from tqdm import tqdm

from crowdserve.errors import SetupError
from crowdserve.images import Rgb, decode_image, fit_within
from training.scene.feature_set import SPLITS
from training.scene.features import find_photos

MARK = "@"
"""Between the name of a photo and that of its variant."""

MAX_SIDE_PX = 1024
"""Longest side of what a variant is made of; the classifier sees 224 px of it."""

Draw = np.random.Generator


def _clipped(values: npt.NDArray[np.floating[Any]]) -> Rgb:
    return np.clip(values, 0, 255).astype(np.uint8)


def grey(image: Rgb, draw: Draw) -> Rgb:
    """Without colour."""
    return np.array(Image.fromarray(image).convert("L").convert("RGB"))


def press(image: Rgb, draw: Draw) -> Rgb:
    """Without colour, hard or flat, with grain: a photo from an old newspaper."""
    plane = ImageEnhance.Contrast(Image.fromarray(image).convert("L")).enhance(draw.uniform(0.6, 1.9))
    grain = draw.normal(draw.uniform(-40, 40), draw.uniform(4, 22), plane.size[::-1])
    return np.repeat(_clipped(np.asarray(plane, np.float32) + grain)[..., np.newaxis], 3, axis=2)


def blurred(image: Rgb, draw: Draw) -> Rgb:
    """Out of focus."""
    radius = draw.uniform(0.002, 0.008) * max(image.shape)
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def small(image: Rgb, draw: Draw) -> Rgb:
    """A third to an eighth of its size: details are gone."""
    return _resized(image, draw.uniform(3, 8))


def tiled(image: Rgb, draw: Draw) -> Rgb:
    """Four or nine small copies side by side."""
    copies = int(draw.integers(2, 4))
    return np.tile(_resized(image, copies), (copies, copies, 1))


def night(image: Rgb, draw: Draw) -> Rgb:
    """Dark, of one tint, with noise."""
    tint = draw.uniform(0.08, 0.4) * np.array([draw.uniform(0.7, 1.2), 1.0, draw.uniform(0.7, 1.2)])
    return _clipped(image * tint + draw.normal(0, draw.uniform(1, 7), image.shape))


def part(image: Rgb, draw: Draw) -> Rgb:
    """A part of it, half to four fifths of its sides."""
    share = draw.uniform(0.45, 0.8)
    height, width = (int(side * share) for side in image.shape[:2])
    top, left = (int(draw.integers(full - side + 1)) for full, side in zip(image.shape, (height, width), strict=False))
    return image[top : top + height, left : left + width]


def lit(image: Rgb, draw: Draw) -> Rgb:
    """In other light: brightness, contrast and colour from half to one and a half."""
    found = Image.fromarray(image)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        found = enhance(found).enhance(draw.uniform(0.5, 1.6))
    return np.array(found)


VARIANTS: Mapping[str, Callable[[Rgb, Draw], Rgb]] = MappingProxyType(
    {make.__name__: make for make in (grey, press, blurred, small, tiled, night, part, lit)}
)
"""Name of a variant -> (image uint8 [h, w, 3], generator) -> uint8 [h', w', 3]."""


def photo_of(file: str) -> str:
    """The photo that a file is a variant of, or itself: its name without folders and suffix."""
    return Path(file).stem.split(MARK)[0]


def write_variants(folder: Path, *, train: int, seed: int) -> int:
    """Write variants beside the photos of a scene data set; returns the number of files. Files that exist are kept.

    Args:
        folder: Folder that `training.scene.dataset` made.
        train: Variants of each photo of the training split; the other splits get all of them.
        seed: Seed of what is drawn.

    Raises:
        DatasetError: If a split has no photos, or one is not an image.
    """
    written = 0
    for split in SPLITS:
        photos = [photo for photo in find_photos(folder, split)[0] if MARK not in photo.stem]
        for photo in tqdm(photos, desc=split, unit="photo"):
            draw = np.random.default_rng([seed, *hashlib.sha256(photo.stem.encode()).digest()[:8]])
            known = [name for name in VARIANTS if photo.parent.name == "dense" or name != tiled.__name__]
            names = draw.choice(known, min(train, len(known)), replace=False) if split == "train" else known
            for name in names:
                target = photo.with_name(f"{photo.stem}{MARK}{name}.jpg")
                if not target.exists():
                    image = fit_within(decode_image(photo.read_bytes()), MAX_SIDE_PX)
                    Image.fromarray(VARIANTS[name](image, draw)).save(target, quality=95)
                written += 1
    return written


def _resized(image: Rgb, factor: float) -> Rgb:
    width, height = (max(40, int(side / factor)) for side in image.shape[1::-1])
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder that training.scene.dataset made")
    parser.add_argument(
        "--train",
        type=int,
        default=3,
        choices=range(len(VARIANTS) + 1),
        metavar="N",
        help="variants of each photo of the training split, at most 8 (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of what is drawn (%(default)s)")
    args = parser.parse_args(arguments)
    try:
        print(f"{write_variants(args.folder, train=args.train, seed=args.seed)} variants in {args.folder}")
    except SetupError as err:
        parser.exit(1, f"{err}\n")


if __name__ == "__main__":
    main()
