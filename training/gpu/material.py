"""What a run learns from and is validated on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crowdserve.evaluation.metrics import count_errors
from training.data.negatives import load_negatives, make_negatives
from training.gpu.packed import PackedSet, read_packed
from training.gpu.recipe import Recipe
from training.gpu.windows import Windows

_PHOTO_REPEATS = 6
"""Times that a photo without people is drawn for one generated image."""


@dataclass(frozen=True, slots=True)
class Material:
    """Photos of a run.

    Attributes:
        windows: What draws windows of those that are learnt from.
        judges: The packed sets whose validation photos judge; the first decides.
        data: Names of the data sets that are learnt from.
        photos: Number of photos that are learnt from.
    """

    windows: Windows
    judges: Sequence[PackedSet]
    data: Sequence[str]
    photos: int

    def mean_predictor(self) -> dict[str, float]:
        """Errors of always answering the mean count of the deciding set's other photos."""
        counts, truth = ([len(p.points) for p in part] for part in (self.judges[0].training, self.judges[0].validation))
        return count_errors(np.full(len(truth), np.mean(counts)), truth)


def read_material(data: Sequence[tuple[Path, float]], judges: Sequence[Path] | None, recipe: Recipe) -> Material:
    """Read what a run needs.

    Args:
        data: Packed files to learn from, with their shares of the windows.
        judges: Packed files to validate on; None takes the first of the others.
        recipe: The recipe of the run.

    Raises:
        DatasetError: If a file or the folder of photos without people cannot be used.
    """
    sets = {path: read_packed(path) for path in [path for path, _ in data] + list(judges or ())}
    empty = make_negatives(recipe.negatives, recipe.seed)
    if recipe.negative_photos:
        empty += load_negatives(Path(recipe.negative_photos), 8) * _PHOTO_REPEATS
    learned = [sets[path] for path, _ in data]
    return Material(
        Windows([(share, sets[path].training) for path, share in data], empty, recipe),
        [sets[path] for path in judges or [data[0][0]]],
        sorted({name for packed in learned for name in packed.data}),
        sum(len(packed.training) for packed in learned),
    )
