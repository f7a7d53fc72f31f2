"""Training of the default type of scene classifier: logistic regression on VGG16's features.

SMOTE balances the classes; a grid search chooses the strength of the penalty by log loss, since serving weights routes
by the probabilities.
"""

import os
import time
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import Pipeline
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from tqdm import tqdm

from crowdserve.errors import DatasetError
from crowdserve.scene.classifier import LABELS
from crowdserve.scene.files import unwrap
from training.scene.feature_set import FeatureSet

FOLDS = 5
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
    search = _search(data, seed)
    return unwrap(search), _describe(search, seed=seed, seconds=time.monotonic() - start)


def _search(data: FeatureSet, seed: int) -> GridSearchCV:
    """The grid search; SMOTE is a step of its pipeline, so that it acts on the training part of each fold alone."""
    photos = {route: int((data.labels == label).sum()) for route, label in LABELS.items()}
    if min(photos.values()) < FOLDS:
        raise DatasetError(f"{photos} photos to train on, at least {FOLDS} of each class are needed; add a data set")
    fewest_in_fold = min(photos.values()) * (FOLDS - 1) // FOLDS
    smote = SMOTE(k_neighbors=min(5, fewest_in_fold - 1), random_state=seed)
    regression = LogisticRegression(solver="lbfgs", max_iter=MAX_ITERATIONS)
    bar = tqdm(total=FOLDS * len(STRENGTHS), desc="grid search", unit="fit")

    def score(fitted: Pipeline, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
        bar.update()
        return -float(log_loss(labels, fitted.predict_proba(features), labels=fitted.classes_))

    search = GridSearchCV(
        Pipeline([("smote", smote), ("regression", regression)]),
        {"regression__C": STRENGTHS},
        scoring=score,
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=seed),
    )
    with warnings.catch_warnings(), bar:
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties; the search judges the result
        return search.fit(data.features.astype(np.float32), data.labels)


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
