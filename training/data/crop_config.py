"""Which crops of the photos a training step looks at: their size, their scale, and how they are augmented."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from training.data.negatives import GREY, KINDS


@dataclass(frozen=True, slots=True)
class CropConfig:
    """What a training step looks at.

    Attributes:
        crops: CropConfig in a step, each from another photo.
        crop_cells: Side of a window, in density cells of 8x8 px.
        sigma_px: Width of the Gaussian on each head; None, or `adaptive` as a flag, for geometry-adaptive widths.
        negatives: How many generated images without people to make.
        negative_share: Share of the windows that come from images without people.
        negative_kinds: Kinds of generated images, with commas, as `training.data.negatives` names them: a kind that
        the
            network finds hard may stand there alone, or twice. All, and every other one grey, if empty.
        negative_photos: Folder of photos without people to use too; none if empty.
        mirrored: Use mirrored photos too; doubles a cache of features.
        min_scale: Photos are resized by random factors from here to `max_scale`. Unless both are 1, and the next four
            shares 0, features of windows are computed at every step instead of cached.
        max_scale: As if the camera had stood nearer (over 1) or further away.
        confetti: Share of the windows of photos that confetti is drawn over, see `training.data.augmentation`.
        littered: Share of them whose ground is littered between the heads.
        patches: Share of them of which an image without people hides a part.
        recoloured: Share of them that show other light.
        seed: Of the windows, the generated images and the initial weights.
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
            raise ValueError("--patches hides parts of photos behind images without people; give some --negatives")
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

    def for_validation(self) -> "CropConfig":
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
