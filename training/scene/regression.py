"""Training of the default type of scene classifier: logistic regression on VGG16's features.

SMOTE balances the classes; a grid search chooses the strength of the penalty by log loss, since serving weights routes
by the probabilities. A photo and its variants (`training.scene.variants`) are in one fold. The regression is fitted on
the features' principal components, which a thousand photos do not exceed by much, and written in features again: on
thousands of pictures a fit on 25,088 features takes minutes.
"""

import copy
import os
import time
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import Pipeline
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from tqdm import tqdm

from crowdserve.errors import DatasetError
from crowdserve.scene.classifier import LABELS
from crowdserve.scene.files import unwrap
from training.scene.feature_set import FeatureSet
from training.scene.variants import photo_of

FOLDS = 5
COMPONENTS = 400
"""Principal components of the features, at most."""

MAX_ITERATIONS = 150
STRENGTHS = (1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
"""Values of C, the inverse strength of the L2 penalty. The features are not scaled: they share one unit, and scaling
each to unit variance, which lifts rare noise, doubled the log loss in cross-validation."""


def fit_regression(data: FeatureSet, *, seed: int) -> tuple[LogisticRegression, dict[str, Any]]:
    """Search the strength of the penalty by cross-validated log loss, then fit on all photos.

    Returns:
        The regression, and a record of the search.

    Raises:
        DatasetError: If a class has fewer photos than there are folds.
    """
    start = time.monotonic()
    photos = _photos(data)
    features = data.features.astype(np.float32)
    components = PCA(min(COMPONENTS, *features.shape), svd_solver="randomized", random_state=seed).fit(features)
    search = _search(components.transform(features), data.labels, photos, seed)
    described = _describe(search, seed=seed, seconds=time.monotonic() - start)
    return _in_features(unwrap(search), components), described


def crossfitted(data: FeatureSet, strength: float, *, seed: int) -> npt.NDArray[np.float64]:
    """Probabilities of a dense scene [pictures], each by a regression that has seen no variant of the photo.

    Args:
        data: Features of a split.
        strength: The C of `fit_regression`.
        seed: Seed of the folds and of SMOTE.
    """
    photos, features = _photos(data), data.features.astype(np.float32)
    components = PCA(min(COMPONENTS, *features.shape), svd_solver="randomized", random_state=seed)
    found = np.empty(len(features))
    reduced = components.fit_transform(features)
    pipeline = _pipeline(data.labels, seed).set_params(regression__C=strength)
    for known, unknown in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(
        reduced, data.labels, photos
    ):
        pipeline.fit(reduced[known], data.labels[known])
        found[unknown] = pipeline.predict_proba(reduced[unknown])[:, LABELS["dense"]]
    return found


def _photos(data: FeatureSet) -> npt.NDArray[np.str_]:
    """The photo of each picture, by name.

    Raises:
        DatasetError: If a class has fewer photos than there are folds.
    """
    names = np.array([photo_of(file) for file in data.files] or [str(row) for row in range(len(data.labels))])
    photos = {route: len(set(names[data.labels == label])) for route, label in LABELS.items()}
    if min(photos.values()) < FOLDS:
        raise DatasetError(f"{photos} photos to train on, at least {FOLDS} of each class are needed; add a data set")
    return names


def _in_features(regression: LogisticRegression, components: PCA) -> LogisticRegression:
    """A regression on principal components as the same function of features."""
    found = copy.copy(regression)
    found.coef_ = regression.coef_ @ components.components_
    found.intercept_ = regression.intercept_ - found.coef_ @ components.mean_
    found.n_features_in_ = found.coef_.shape[1]
    return found


def _pipeline(labels: npt.NDArray[np.int64], seed: int) -> Pipeline:
    """SMOTE is a step of the pipeline, so that it acts on the training part of each fold alone."""
    fewest_in_fold = int(np.bincount(labels).min()) * (FOLDS - 1) // FOLDS
    smote = SMOTE(k_neighbors=max(1, min(5, fewest_in_fold - 1)), random_state=seed)
    return Pipeline([("smote", smote), ("regression", LogisticRegression(solver="lbfgs", max_iter=MAX_ITERATIONS))])


def _search(
    features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], photos: npt.NDArray[np.str_], seed: int
) -> GridSearchCV:
    bar = tqdm(total=FOLDS * len(STRENGTHS), desc="grid search", unit="fit")

    def score(fitted: Pipeline, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
        bar.update()
        return -float(log_loss(labels, fitted.predict_proba(features), labels=fitted.classes_))

    search = GridSearchCV(
        _pipeline(labels, seed),
        {"regression__C": STRENGTHS},
        scoring=score,
        cv=StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed),
    )
    with warnings.catch_warnings(), bar:
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties; the search judges the result
        return search.fit(features, labels, groups=photos)


def _describe(search: GridSearchCV, *, seed: int, seconds: float) -> dict[str, Any]:
    losses = (-search.cv_results_["mean_test_score"]).tolist()
    iterations = int(unwrap(search).n_iter_.max())
    return {
        "method": "SMOTE, logistic regression (lbfgs), grid search over C by cross-validated log loss",
        "seed": seed,
        "folds": FOLDS,
        "C": search.best_params_["regression__C"],
        "cv_log_loss": {f"{c:g}": round(loss, 4) for c, loss in zip(STRENGTHS, losses, strict=True)},
        "iterations": iterations,
        "converged": iterations < MAX_ITERATIONS,
        "seconds": round(seconds, 1),
        "cores": os.cpu_count(),
    }
