"""scikit-learn's classifiers survive as arrays; what arrays cannot hold is refused with a remedy."""

from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from crowdserve.errors import ClassifierError
from crowdserve.scene.array_file import read_arrays, write_arrays
from crowdserve.scene.estimator_arrays import MAX_STEPS, from_arrays, to_arrays

ROWS = np.abs(np.random.default_rng(5).normal(0, 3, (30, 12)))
LABELS = np.arange(30) % 2
REGRESSION = {"class": "LogisticRegression", "parameters": {}}
SCALER = {"class": "StandardScaler", "parameters": {}}


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(MinMaxScaler(), PCA(4), LogisticRegression()),
        make_pipeline(StandardScaler(), PCA(4, whiten=True), LogisticRegression()),
    ],
    ids=["one", "scaled", "projected", "whitened"],
)
@pytest.mark.parametrize("names", [(0, 1), ("dense", "sparse"), (0.0, 1.0)])
def test_a_classifier_is_rebuilt_with_the_same_predictions(estimator: Any, names: tuple[Any, Any]) -> None:
    estimator.fit(ROWS, np.array([names[label] for label in LABELS]))
    steps, content = to_arrays(estimator, ROWS)
    assert (steps, content) == to_arrays(estimator, ROWS)
    found = from_arrays(steps, content)
    assert type(found) is type(estimator)
    assert list(found.classes_) == list(names)
    assert found.n_features_in_ == ROWS.shape[1]
    np.testing.assert_allclose(found.predict_proba(ROWS), estimator.predict_proba(ROWS), atol=1e-12)


def test_labels_as_objects_become_text() -> None:
    fitted = LogisticRegression().fit(ROWS, np.array([("dense", "sparse")[label] for label in LABELS], dtype=object))
    assert list(from_arrays(*to_arrays(fitted, ROWS)).classes_) == ["dense", "sparse"]


@pytest.mark.parametrize(
    "estimator",
    [
        GaussianNB(),
        Pipeline([("scale", StandardScaler(with_mean=False)), ("lr", LogisticRegression())]),
        make_pipeline(MinMaxScaler(clip=True), LogisticRegression()),
    ],
    ids=["another class", "without a mean", "clipped"],
)
def test_what_arrays_cannot_hold_is_refused_with_a_remedy(estimator: Any) -> None:
    estimator.fit(ROWS, LABELS)
    with pytest.raises(ClassifierError, match=r"--joblib.*allow_pickle"):
        to_arrays(estimator, np.concatenate([ROWS, ROWS * 100]))


def test_a_subclass_is_not_taken_for_its_parent() -> None:
    class LogisticRegression2(LogisticRegression):
        pass

    LogisticRegression2.__name__ = "LogisticRegression"
    with pytest.raises(ClassifierError, match="cannot be saved as arrays"):
        to_arrays(LogisticRegression2().fit(ROWS, LABELS), ROWS)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("os.system", "no list of 1 to"),
        ([], "no list of 1 to"),
        ([REGRESSION] * (MAX_STEPS + 1), "no list of 1 to"),
        ([{"class": "os.system", "parameters": {}}], "a step of class 'os.system'"),
        ([{"class": ["LogisticRegression"], "parameters": {}}], "a step of class"),
        (["LogisticRegression"], "a step of class None"),
        ([{**REGRESSION, "parameters": {"n_jobs": 10**6}}], "no parameters"),
        ([{**REGRESSION, "parameters": None}], "no parameters"),
        ([{"class": "PCA", "parameters": {"whiten": "yes"}}, REGRESSION], "neither true nor false"),
        ([SCALER], "do not end in their only classifier"),
        ([REGRESSION, REGRESSION], "do not end in their only classifier"),
        ([SCALER, REGRESSION], "expected "),
    ],
)
def test_steps_that_a_record_may_not_have_are_refused(steps: Any, message: str) -> None:
    _, content = to_arrays(LogisticRegression().fit(ROWS, LABELS), ROWS)
    with pytest.raises(ValueError, match=message):
        from_arrays(steps, content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"1.intercept_": np.zeros(3)}, "LogisticRegression do not fit together"),
        ({"1.coef_": np.zeros((2, 12))}, "LogisticRegression do not fit together"),
        ({"1.classes_": np.arange(3)}, "LogisticRegression do not fit together"),
        ({"1.coef_": np.array([["0.5"] * 12])}, "LogisticRegression do not fit together"),
        ({"1.coef_": np.zeros((1, 11))}, "features and are given"),
        ({"0.scale_": np.ones(11)}, "StandardScaler do not fit together"),
        ({"1.coef_": np.full((1, 12), np.nan)}, "not finite"),
        ({"0.mean_": np.full(12, np.inf)}, "not finite"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changes: dict[str, np.ndarray], message: str) -> None:
    steps, content = to_arrays(make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS), ROWS)
    axes = {"0.mean_": 1, "0.scale_": 1, "1.coef_": 2, "1.intercept_": 1, "1.classes_": 1}
    with pytest.raises(ValueError, match=message):
        from_arrays(steps, write_arrays(read_arrays(content, axes) | changes))
