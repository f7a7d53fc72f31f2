"""Counts by other ways of routing, computed from the counts of each route alone."""

from collections.abc import Iterable

from crowdserve.cards import COUNTERS, ROUTES
from crowdserve.evaluation.predictions import Prediction, count_column


def policy_counts(prediction: Prediction, counter: str | None = None) -> dict[str, float]:
    """People in a photo under each policy; empty if the routes did not count one by one.

    ``always <route>`` needs no classifier; ``auto`` takes the route of the more probable scene; ``blend`` weights both
    by their probabilities; ``oracle`` takes the route that errs less, which no classifier can know: the lower bound.

    Args:
        prediction: Prediction for the photo.
        counter: A family of counting networks; the counter of the run if None.
    """
    people = {route: prediction.counts.get(count_column(counter, route)) for route in ROUTES}
    found = {route: count for route, count in people.items() if count is not None}
    if len(found) < len(ROUTES):
        return {}
    share = (1 - prediction.scene_probability) / (len(ROUTES) - 1)  # of each scene except the more probable one
    weights = {route: prediction.scene_probability if route == prediction.scene else share for route in ROUTES}
    return {
        **{f"always {route}": count for route, count in found.items()},
        "auto": next(people for route, people in found.items() if route == prediction.scene),
        "blend": sum(weights[route] * count for route, count in found.items()),
        "oracle": min(found.values(), key=lambda count: abs(count - prediction.true_count)),
    }


def counters_of(predictions: Iterable[Prediction]) -> list[str]:
    """The counters that answered for every photo."""
    predictions = list(predictions)
    return [c for c in COUNTERS if all(count_column(c) in prediction.counts for prediction in predictions)]
