"""Comparison of counters on the same photos: the difference of their errors, with its confidence interval."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean

from crowdserve.evaluation.metrics import MaeDifference, mae_difference
from crowdserve.evaluation.policies import counters_of
from crowdserve.evaluation.predictions import Prediction, count_column
from crowdserve.evaluation.summary import ALL_PHOTOS, dataset_labels


def compare_counters(predictions: Sequence[Prediction]) -> Mapping[str, Mapping[str, MaeDifference]]:
    """Pairs of counters that answered for every photo, and their average -> group -> excess error of the first.

    Groups are all photos, and each of several data sets. "ssdcnet against csrnet" is below 0 where SSDCNet errs less.
    """
    counters = counters_of(predictions)
    if len(counters) < 2 or not predictions:
        return {}
    label = dataset_labels(predictions)
    by_dataset: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        by_dataset[label(prediction)].append(prediction)
    groups = {ALL_PHOTOS: predictions, **(by_dataset if len(by_dataset) > 1 else {})}
    found: dict[str, dict[str, MaeDifference]] = defaultdict(dict)
    for name, group in groups.items():
        true = [prediction.true_count for prediction in group]
        counts = {counter: [p.counts[count_column(counter)] for p in group] for counter in counters}
        counts["average"] = [fmean(answers) for answers in zip(*counts.values(), strict=True)]
        for other, counter in combinations(counts, 2):
            found[f"{counter} against {other}"][name] = mae_difference(counts[counter], counts[other], true)
    return found
