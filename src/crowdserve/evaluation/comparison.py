"""Whether one counter errs less than another on the same photos, or only seems to."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from crowdserve.count_errors import mae_difference
from crowdserve.evaluation.policies import counters_of
from crowdserve.evaluation.predictions import Prediction, count_column
from crowdserve.evaluation.summary import dataset_labels

ALL_PHOTOS = "all photos"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One counter against another on a group of photos.

    Attributes:
        photos: How many.
        difference: Of their mean absolute errors, people a photo; below 0 where the first one errs less.
        interval: Its 95 % confidence interval, by paired bootstrap; where it holds 0, the photos cannot tell.
        closer: Photos whose count by the first one is closer to the labels.
    """

    photos: int
    difference: float
    interval: tuple[float, float]
    closer: int


def compare_counters(predictions: Sequence[Prediction]) -> Mapping[str, Mapping[str, Comparison]]:
    """Every two counters that answered for every photo -> all photos, and each of several data sets -> comparison.

    The later counter is judged against the earlier one: "ssdcnet against csrnet".
    """
    if not predictions:
        return {}
    label = dataset_labels(predictions)
    by_dataset: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        by_dataset[label(prediction)].append(prediction)
    groups = {ALL_PHOTOS: list(predictions), **(by_dataset if len(by_dataset) > 1 else {})}
    return {
        f"{second} against {first}": {name: _compare(group, second, first) for name, group in groups.items()}
        for first, second in combinations(counters_of(predictions), 2)
    }


def _compare(predictions: Sequence[Prediction], counter: str, other: str) -> Comparison:
    counted, counted_by_other = ([p.counts[count_column(c)] for p in predictions] for c in (counter, other))
    found = mae_difference(counted, counted_by_other, [p.true_count for p in predictions])
    return Comparison(photos=len(predictions), **found)
