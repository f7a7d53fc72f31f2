"""Errors of predictions: over all photos and by route, true count, data set, counter and policy."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crowdserve.evaluation.metrics import count_errors, mae_interval, percentage_error
from crowdserve.evaluation.policies import counters_of, policy_counts
from crowdserve.evaluation.predictions import Prediction, count_column

BIN_ENDS = (0, 20, 50, 100, 200, 500, 1000)
"""Last true count of each bin; one more bin is open."""


@dataclass(frozen=True, slots=True)
class GroupErrors:
    """Errors of a group of photos.

    Attributes:
        photos: Number of photos, those without heads included.
        without_heads: Number of photos without heads, which are not in `mape`.
        mean_true_count: Labelled heads per photo.
        mae: Mean absolute error, people per photo.
        mae_interval: Its 95 % confidence interval, by bootstrap.
        rmse: Root of the mean squared error, people per photo.
        bias: Mean error, people per photo; positive where too many are counted.
        mape: Mean absolute error in percent of the true count; None if no photo has a head.
    """

    photos: int
    without_heads: int
    mean_true_count: float
    mae: float
    mae_interval: tuple[float, float]
    rmse: float
    bias: float
    mape: float | None


ALL_PHOTOS = "all photos"
"""The group of all photos."""

Tables = Mapping[str, Mapping[str, GroupErrors]]
"""Criterion of grouping -> group -> errors."""

Grouping = Callable[[Prediction], Mapping[str, float]]
"""A photo's groups, and its count in each."""


def group_errors(pairs: Iterable[tuple[float, int]]) -> GroupErrors:
    """Errors over (predicted, true) counts, at least one pair."""
    predicted, true = zip(*pairs, strict=True)
    return GroupErrors(
        photos=len(true),
        without_heads=true.count(0),
        mean_true_count=round(float(np.mean(true)), 2),
        mae_interval=mae_interval(predicted, true),
        mape=percentage_error(predicted, true),
        **count_errors(predicted, true),
    )


def summarise(predictions: Sequence[Prediction]) -> Tables:
    """Errors of all photos, and by each criterion; tables without a group are left out."""
    label, counters = dataset_labels(predictions), counters_of(predictions)
    groupings: dict[str, Grouping] = {
        "all": lambda p: {ALL_PHOTOS: p.predicted_count},
        "route": lambda p: {p.route: p.predicted_count},
        "true count": lambda p: {bin_name(p.true_count): p.predicted_count},
        "data set": lambda p: {label(p): p.predicted_count},
        "counter": lambda p: {c: p.counts[count_column(c)] for c in counters},
        "counter and data set": lambda p: {f"{label(p)}: {c}": p.counts[count_column(c)] for c in counters},
        "policy": policy_counts,
        "policy and data set": lambda p: {f"{label(p)}: {name}": n for name, n in policy_counts(p).items()},
        "policy and counter": lambda p: {
            f"{c}: {name}": n for c in counters for name, n in policy_counts(p, c).items()
        },
    }
    orders = {  # a table's groups are in the order of their first photos
        "route": sorted(predictions, key=lambda p: p.route),
        "true count": sorted(predictions, key=lambda p: p.true_count),
    }
    tables = {name: _table(orders.get(name, predictions), grouping) for name, grouping in groupings.items()}
    return {name: table for name, table in tables.items() if table}


def bin_name(true_count: int) -> str:
    """The bin of a true count, such as ``21–50``."""
    starts = [0, *(end + 1 for end in BIN_ENDS)]
    for start, end in zip(starts, BIN_ENDS, strict=False):
        if true_count <= end:
            return f"{start}–{end}" if start < end else str(end)
    return f"over {BIN_ENDS[-1]}"


def dataset_labels(predictions: Iterable[Prediction]) -> Callable[[Prediction], str]:
    """A name for each prediction's data set; with its folder where two folders would have the same name."""
    folders: dict[str, set[str]] = defaultdict(set)
    for prediction in predictions:
        folders[_dataset(prediction)].add(prediction.folder)

    def label(prediction: Prediction) -> str:
        name = _dataset(prediction)
        return name if len(folders[name]) == 1 else f"{prediction.folder}: {name}"

    return label


def worst(predictions: Iterable[Prediction], photos: int) -> list[Prediction]:
    """The photos with the largest absolute errors, the worst first."""
    return sorted(predictions, key=lambda p: -abs(p.error))[:photos]


def _dataset(prediction: Prediction) -> str:
    return f"{prediction.dataset} {prediction.subset}".strip()


def _table(predictions: Iterable[Prediction], grouping: Grouping) -> dict[str, GroupErrors]:
    groups: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for prediction in predictions:
        for name, people in grouping(prediction).items():
            groups[name].append((people, prediction.true_count))
    return {name: group_errors(pairs) for name, pairs in groups.items()}
