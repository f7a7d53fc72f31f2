"""Evaluation of a scene classifier on photos that it was not trained on: figures for its record, and a plot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, log_loss

from crowdserve.cards import ROUTES
from crowdserve.scene.classifier import LABELS, SceneClassifier
from training.scene.feature_set import FeatureSet


def judge(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Figures of a classifier on one split.

    Args:
        probabilities: Probabilities of the classes, [photos, 2], in the order of `ROUTES`.
        labels: Labels of the photos, [photos], see `LABELS`.

    Returns:
        Accuracies, log loss, and the confusion matrix: confusion[true][answered] in numbers of photos.
    """
    order = [LABELS[route] for route in ROUTES]
    true = np.array([order.index(label) for label in labels])
    answered = probabilities.argmax(axis=1)
    return {
        "photos": len(labels),
        "accuracy": round(float((answered == true).mean()), 4),
        "balanced_accuracy": round(float(balanced_accuracy_score(true, answered)), 4),
        "log_loss": round(float(log_loss(true, probabilities, labels=range(len(ROUTES)))), 4),
        "confusion": {
            route: dict(zip(ROUTES, row, strict=True))
            for route, row in zip(
                ROUTES, confusion_matrix(true, answered, labels=range(len(ROUTES))).tolist(), strict=True
            )
        },
    }


def judge_splits(classifier: SceneClassifier, splits: Mapping[str, FeatureSet]) -> dict[str, Any]:
    """Figures on the splits that the classifier was not trained on."""
    return {
        split: judge(classifier.probabilities(splits[split].features.astype(np.float32)), splits[split].labels)
        for split in ("test", "validate")
    }


def draw_confusion(figures: Mapping[str, Any], path: Path) -> None:
    """Draw the confusion matrix of each split as a PNG file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(
        1, len(figures), figsize=(4 * len(figures), 3.8), layout="constrained", squeeze=False
    )
    for axis, (split, figure) in zip(axes[0], figures.items(), strict=True):
        matrix = np.array([[figure["confusion"][true][answered] for answered in ROUTES] for true in ROUTES])
        axis.imshow(matrix, cmap="Blues", vmin=0, vmax=max(1, 1.5 * matrix.max()))
        for (row, column), photos in np.ndenumerate(matrix):
            axis.text(column, row, photos, ha="center", va="center", fontsize=16)
        axis.set_xticks(range(len(ROUTES)), ROUTES)
        axis.set_yticks(range(len(ROUTES)), ROUTES)
        axis.set(xlabel="answered", ylabel="true", title=f"{split}: accuracy {figure['accuracy']:.1%}")
    drawing.savefig(path, dpi=120)
    pyplot.close(drawing)
