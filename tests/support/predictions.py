"""Predictions of `crowdserve evaluate`."""

from typing import Any

from crowdserve.cards import ROUTES
from crowdserve.evaluation.predictions import Prediction, count_column

PLAIN = {
    "folder": "camera",
    "dataset": "ucf-cc-50",
    "subset": "",
    "key": "ucf-cc-50-1",
    "image": "/camera/1.jpg",
    "scene": "dense",
    "scene_probability": 0.75,
    "route": "dense",
    "models": {"csrnet_a": "1"},
    "milliseconds": 1.5,
}


def make_prediction(
    true: int = 10, predicted: float = 10.0, routes: tuple[float, float] | None = None, **fields: Any
) -> Prediction:
    """A prediction; a test names the fields that it is about, `routes` is (dense, sparse)."""
    counts = {count_column(None, route): n for route, n in zip(ROUTES, routes or (), strict=False)}
    return Prediction(**{**PLAIN, "true_count": true, "predicted_count": predicted, "counts": counts, **fields})
