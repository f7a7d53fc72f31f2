"""Folds for cross-fitting: every photo is judged by a network that was not trained on it."""

import random
from collections.abc import Iterable, Sequence

from crowdserve.datasets import Sample
from crowdserve.errors import SetupError


def assign_folds(samples: Iterable[Sample], folds: int, seed: int) -> dict[str, int]:
    """The fold of each photo, by `Sample.key`; it is the same for every network.

    Folds are stratified as `crowdserve.datasets.split_samples` is: the photos of a data set part are ordered by head
    count, and of each `folds` neighbours every fold gets one. The draw does not depend on which other parts are loaded.

    Args:
        samples: All photos of the data sets, whatever their split.
        folds: Number of folds.
        seed: Seed of the draw.
    """
    parts: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        parts.setdefault((sample.dataset, sample.subset), []).append(sample)
    found: dict[str, int] = {}
    for (dataset, subset), part in parts.items():
        draw = random.Random(f"folds/{folds}/{seed}/{dataset}/{subset}")
        ordered = sorted(part, key=lambda sample: (sample.count, sample.key))
        for start in range(0, len(ordered), folds):
            neighbours = ordered[start : start + folds]
            found |= dict(zip([s.key for s in neighbours], draw.sample(range(folds), len(neighbours)), strict=True))
    return found


def leave_fold_out(
    learnt: Sequence[Sample], every: Sequence[Sample], *, folds: int, fold: int, seed: int
) -> list[Sample]:
    """The photos to train on when one fold is left out.

    Args:
        learnt: Photos to train on if no fold were left out.
        every: All photos of the data sets, for `assign_folds`.
        folds: Number of folds; one leaves nothing out.
        fold: The fold to leave out, from 0.
        seed: Seed of the draw.

    Raises:
        SetupError: If there is no such fold.
    """
    if not 0 <= fold < folds:
        raise SetupError(f"--fold {fold} is none of {folds} folds; give one from 0 to {folds - 1}, or more --folds")
    if folds == 1:
        return list(learnt)
    assigned = assign_folds(every, folds, seed)
    return [sample for sample in learnt if assigned[sample.key] != fold]
