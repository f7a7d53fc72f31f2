from pathlib import Path

import numpy as np
import pytest

from crowdserve.datasets import Sample
from crowdserve.errors import SetupError
from training.data.folds import assign_folds, leave_fold_out


def make_part(subset: str, photos: int) -> list[Sample]:
    draw = np.random.default_rng(photos)
    counts = draw.integers(0, 500, photos)
    return [Sample(Path(f"{i}.jpg"), np.zeros((n, 2)), "shanghaitech", subset) for i, n in enumerate(counts)]


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_are_balanced_in_size_and_heads(folds: int) -> None:
    part = make_part("A/train", 91)
    found = assign_folds(part, folds, seed=0)
    counts = [[sample.count for sample in part if found[sample.key] == fold] for fold in range(folds)]
    sizes = [len(each) for each in counts]
    assert sum(sizes) == len(part)
    assert max(sizes) - min(sizes) <= 1
    means = [np.mean(each) for each in counts]
    assert max(means) - min(means) < 0.1 * np.mean(means)


def test_fold_of_a_photo_does_not_depend_on_other_photos_or_order() -> None:
    dense, sparse = make_part("A/train", 40), make_part("B/train", 30)
    together = assign_folds([*sparse, *dense[::-1]], 2, seed=0)
    assert together == assign_folds(dense, 2, seed=0) | assign_folds(sparse, 2, seed=0)


def test_another_seed_draws_other_folds() -> None:
    part = make_part("A/train", 40)
    assert assign_folds(part, 2, seed=0) != assign_folds(part, 2, seed=1)


def test_held_out_folds_partition_the_photos() -> None:
    part = make_part("A/train", 31)
    learnt = part[::2]
    kept = [leave_fold_out(learnt, part, folds=3, fold=fold, seed=0) for fold in range(3)]
    left_out = [{s.key for s in learnt} - {s.key for s in each} for each in kept]
    assert all(left_out)
    assert sorted(key for each in left_out for key in each) == sorted(s.key for s in learnt)
    folds = assign_folds(part, 3, seed=0)
    assert all({folds[key] for key in each} == {fold} for fold, each in enumerate(left_out))


def test_single_fold_holds_out_nothing() -> None:
    part = make_part("A/train", 5)
    assert leave_fold_out(part, part, folds=1, fold=0, seed=0) == part


@pytest.mark.parametrize(("folds", "fold"), [(2, 2), (2, -1), (1, 1), (0, 0)])
def test_unknown_fold_is_refused(folds: int, fold: int) -> None:
    with pytest.raises(SetupError, match=f"--fold {fold} is none of {folds} folds"):
        leave_fold_out([], [], folds=folds, fold=fold, seed=0)
