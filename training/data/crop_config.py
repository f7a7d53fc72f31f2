"""The crops of photos that a training step looks at: their number, size, scale and augmentation."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.data.negatives import GREY, KINDS

FORMER_NAMES = {"ground_clutter": "littered", "cutout": "patches", "colour_jitter": "recoloured"}
"""Field -> its name in the records and on the command lines of version 0.2."""


def current_names(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of a record under the present names of its fields."""
    present = {former: name for name, former in FORMER_NAMES.items()}
    return {present.get(name, name): value for name, value in recorded.items()}


@dataclass(frozen=True, slots=True)
class CropConfig:
    """The crops that a training step looks at.

    Attributes:
        crops: Crops per step, each from another photo.
        crop_cells: Side of a crop, in density cells of 8x8 px.
        sigma_px: Width of the Gaussian on each head; None, or `adaptive` as a flag, for geometry-adaptive widths.
        negatives: Number of generated images without people.
        negative_share: Share of the crops that come from images without people.
        negative_kinds: Kinds of generated images, separated by commas, as `training.data.negatives` names them: a kind
            that the network finds hard may be given alone, or twice. If empty, every kind is used, and every other
            image is grey.
        negative_photos: Folder of photos without people to use too; none if empty.
        mirrored: Use mirrored photos too; doubles a cache of features.
        min_scale: Smallest random factor that photos are resized by. Unless both factors are 1, and confetti, ground
            clutter, cutout and colour jitter 0, features of crops are computed at every step instead of cached.
        max_scale: Largest random factor that photos are resized by; over 1 as if the camera had stood nearer.
        confetti: Share of the crops of photos that confetti is drawn over, see `training.data.augmentation`.
        ground_clutter: Share of the crops of photos that get clutter on the ground between the heads.
        cutout: Share of the crops of photos of which a part is hidden behind an image without people.
        colour_jitter: Share of the crops of photos whose brightness, contrast and colour are changed.
        seed: Seed of the crops, the generated images and the initial weights.
        split_seed: Seed of the split; another one would let photos that were trained on into the validation.
        folds: Number of folds of the photos for cross-fitting; one trains on all.
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
    ground_clutter: float = 0.0
    cutout: float = 0.0
    colour_jitter: float = 0.0
    seed: int = 0
    split_seed: int = 0
    folds: int = 1
    fold: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.min_scale <= self.max_scale:
            raise ValueError(
                f"--min-scale {self.min_scale} --max-scale {self.max_scale}: expected factors over 0, smaller first"
            )
        for name in ("negative_share", "confetti", "ground_clutter", "cutout", "colour_jitter"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected a share from 0 to 1")
        if self.cutout and not self.negatives and not self.negative_photos:
            raise ValueError("--cutout hides parts of photos behind images without people; give some --negatives")
        if unknown := set(self.kinds) - {GREY, *KINDS}:
            known = ", ".join((GREY, *KINDS))
            raise ValueError(f"--negative-kinds {','.join(sorted(unknown))}: expected some of {known}, with commas")

    @property
    def kinds(self) -> list[str]:
        """The chosen kinds of `KINDS` or `GREY`; empty for the usual order."""
        return self.negative_kinds.split(",") if self.negative_kinds else []

    @property
    def scaled(self) -> bool:
        """Whether crops show photos at other sizes than their own."""
        return self.min_scale != 1 or self.max_scale != 1

    @property
    def augmented(self) -> bool:
        """Whether crops differ from the photos in any way, so that their features cannot be cached."""
        return self.scaled or max(self.confetti, self.ground_clutter, self.cutout, self.colour_jitter) > 0

    def draw_scale(self, draw: np.random.Generator) -> float:
        """A random factor; halving is as likely as doubling where both are within the limits."""
        return float(np.exp(draw.uniform(np.log(self.min_scale), np.log(self.max_scale))))

    def for_validation(self) -> "CropConfig":
        """The same configuration for photos that are only looked at whole."""
        return dataclasses.replace(
            self,
            mirrored=False,
            min_scale=1.0,
            max_scale=1.0,
            confetti=0.0,
            ground_clutter=0.0,
            cutout=0.0,
            colour_jitter=0.0,
            negatives=0,
            negative_photos="",
        )
