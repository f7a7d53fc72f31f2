"""Ways of routing photos that neither networks nor classifiers were trained on: the counts that each gives."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from crowdserve.cards import ROUTES, SceneRoute
from crowdserve.errors import DatasetError
from crowdserve.scene.classifier import LABELS, SceneClassifier
from training.scene.dataset import MANIFEST, THRESHOLD, find_domain
from training.scene.feature_set import FeatureSet, load_features
from training.scene.regression import fit_regression
from training.scene.route_counts import RouteCounts

FOLDS = 5
"""Number of folds of the cross-fitted policies."""

Weights = npt.NDArray[np.float64]
"""A policy: the share of each route in each photo's count, [photos, 2] in the order of `ROUTES`; rows sum to 1."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Photos that neither the networks nor the classifiers were trained on.

    Attributes:
        counts: Counts of each route in each photo.
        features: Features of VGG16, [photos, 25088].
        parts: The data set part of each photo, such as "shanghaitech A/train".
        domains: The kind of scene that the part shows; None where it shows both kinds.
    """

    counts: tuple[RouteCounts, ...]
    features: npt.NDArray[np.float32]
    parts: tuple[str, ...]
    domains: tuple[SceneRoute | None, ...]

    @property
    def true(self) -> npt.NDArray[np.float64]:
        """Labelled head counts [photos]."""
        return np.array([photo.true for photo in self.counts])

    def counted(self, weights: Weights) -> npt.NDArray[np.float64]:
        """Head counts [photos] that a policy gives."""
        by_route = np.array([[getattr(photo, route) for route in ROUTES] for photo in self.counts])
        total: npt.NDArray[np.float64] = (weights * by_route).sum(axis=1)
        return total

    def errors(self, weights: Weights) -> npt.NDArray[np.float64]:
        """Absolute errors [photos] of a policy."""
        return np.abs(self.counted(weights) - self.true)


def load_held_out(folder: Path, counts: Mapping[str, RouteCounts], split: str) -> HeldOut:
    """Combine the features, counts and origin of the photos of one split.

    Args:
        folder: Scene data set with its features.
        counts: Counts by photo; may include other photos too.
        split: "validate", or "test" if the networks did not train on it either.

    Raises:
        DatasetError: If data of a photo are missing or contradictory.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise DatasetError(f"{manifest} is missing; make the folder with training.scene.dataset")
    entries = {Path(e["file"]).stem: e for e in json.loads(manifest.read_text())["samples"]}
    found = load_features(folder, split)
    keys = [Path(file).stem for file in found.files]
    if not keys or any(key not in entries for key in keys):
        raise DatasetError(f"{folder}/{split} has features of photos that {MANIFEST} does not list; extract them again")
    if uncounted := [key for key in keys if key not in counts]:
        raise DatasetError(f"{len(uncounted)} of {len(keys)} photos were not counted, such as {uncounted[0]}")
    for key in keys:
        if round(counts[key].true) != entries[key]["count"]:
            raise DatasetError(f"{key} has {entries[key]['count']} heads, the counts say {counts[key].true:g}")
    return HeldOut(
        tuple(counts[key] for key in keys),
        found.features.astype(np.float32),
        tuple(f"{entries[key]['dataset']} {entries[key]['subset']}".strip() for key in keys),
        tuple(find_domain(entries[key]["dataset"], entries[key]["subset"]) for key in keys),
    )


def one_route(routes: Sequence[SceneRoute]) -> Weights:
    """The policy that sends each photo to one route."""
    return np.array([[float(route == chosen) for route in ROUTES] for chosen in routes])


def fixed_policies(photos: HeldOut) -> dict[str, Weights]:
    """Policies without a classifier; the perfect ones are bounds, since they use the labels."""
    number = len(photos.counts)
    found = {f"always {route}": one_route([route] * number) for route in ROUTES}
    found["mean of both"] = np.full((number, len(ROUTES)), 1 / len(ROUTES))
    domains = [domain for domain in photos.domains if domain is not None]
    if len(domains) == number:
        found["perfect by domain"] = one_route(domains)
    found["perfect by count"] = one_route(["sparse" if p.true <= THRESHOLD else "dense" for p in photos.counts])
    found["oracle"] = one_route([photo.better_route for photo in photos.counts])
    return found


def classifier_policies(name: str, classifier: SceneClassifier, photos: HeldOut) -> dict[str, Weights]:
    """The two policies of a classifier."""
    return _both_policies(name, classifier.probabilities(photos.features))


def cross_fitted_policies(photos: HeldOut, *, seed: int) -> dict[str, Weights]:
    """The two policies of a classifier by the better counter.

    No network was trained on these photos, so the route that errs less on each is an unbiased label. The classifier is
    trained on all folds of them but one, and routes that one.

    Raises:
        DatasetError: If too few photos are better counted by one of the routes.
    """
    labels = np.array([LABELS[photo.better_route] for photo in photos.counts], np.int64)
    probabilities = np.zeros((len(labels), len(ROUTES)))
    if min(np.bincount(labels, minlength=len(ROUTES))) < FOLDS:
        raise DatasetError(
            f"a route counts fewer than {FOLDS} photos better; give more photos, or leave out --cross-fit"
        )
    for learnt, judged in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(photos.features, labels):
        fitted, _ = fit_regression(FeatureSet(photos.features[learnt], labels[learnt]), seed=seed)
        classifier = SceneClassifier.from_estimator(fitted, "", {}, Path("cross-fitted"))
        probabilities[judged] = classifier.probabilities(photos.features[judged])
    return _both_policies("best-counter, cross-fitted", probabilities)


def _both_policies(name: str, probabilities: Weights) -> dict[str, Weights]:
    chosen: list[SceneRoute] = [ROUTES[column] for column in probabilities.argmax(axis=1)]
    return {f"{name}, hard": one_route(chosen), f"{name}, blended": probabilities}
