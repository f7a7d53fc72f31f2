"""Scene classifiers are saved, found and loaded, and agree with their estimators."""

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import Pipeline as SamplingPipeline
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from crowdserve.cards import ROUTES
from crowdserve.errors import ClassifierError
from crowdserve.scene.classifier import LABELS, SceneClassifier, probe_features
from crowdserve.scene.dense_head import DenseHead
from crowdserve.scene.files import unwrap
from crowdserve.scene.names import FILE_NAME, find_classifier
from tests.support.classifiers import CONTRACT, save
from training.scene.save import save_classifier


def test_saved_classifier_agrees_with_its_estimator(
    tmp_path: Path, fitted: LogisticRegression, features: np.ndarray
) -> None:
    classifier = SceneClassifier.load(save(fitted, tmp_path))
    found = classifier.probabilities(features)
    assert found.dtype == np.float64
    assert found.shape == (len(features), len(ROUTES))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found[:, ROUTES.index("sparse")], fitted.predict_proba(features)[:, 1], atol=1e-6)
    assert found.std() > 0.05


@pytest.mark.parametrize("as_pickle", [False, True])
def test_files_are_small_and_contain_only_scikit_learn(
    tmp_path: Path, features: np.ndarray, labels: np.ndarray, as_pickle: bool
) -> None:
    search = GridSearchCV(
        SamplingPipeline([("smote", SMOTE(random_state=0)), ("lr", LogisticRegression())]),
        {"lr__C": [1e-5, 1e-4]},
        cv=2,
    ).fit(features, labels)
    path = save(search, tmp_path, as_pickle=as_pickle)
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", path.suffix}
    assert path.stat().st_size < 1_000_000
    found = SceneClassifier.load(path, allow_pickle=as_pickle)
    assert type(joblib.load(path) if as_pickle else found.estimator) is LogisticRegression
    expected = search.predict_proba(features.astype(np.float64))[:, 1]
    np.testing.assert_allclose(found.probabilities(features)[:, 1], expected, atol=1e-12)


def test_dense_head_is_saved_and_loaded_by_the_same_interface(
    tmp_path: Path, head: DenseHead, features: np.ndarray
) -> None:
    draft = SceneClassifier.from_estimator(head, "", {}, tmp_path)
    saved = save_classifier(draft, tmp_path, CONTRACT, {"method": "a test"}, name="head")
    assert {path.name for path in tmp_path.iterdir()} == {"scene_classifier.head.json", "scene_classifier.head.npz"}
    found = SceneClassifier.load(find_classifier(tmp_path, "head")).probabilities(features)
    np.testing.assert_allclose(found, head.predict_proba(features), atol=1e-6)
    assert found.std() > 0.05
    assert (saved.record["type"], saved.record["classes"]) == ("dense-head", ["0", "1"])


def test_saving_another_type_removes_the_earlier_file(
    tmp_path: Path, head: DenseHead, fitted: LogisticRegression, features: np.ndarray
) -> None:
    earlier = save(fitted, tmp_path, as_pickle=True)
    save_classifier(SceneClassifier.from_estimator(head, "", {}, tmp_path), tmp_path, CONTRACT, {})
    assert not earlier.exists()
    found = SceneClassifier.load(tmp_path / FILE_NAME).probabilities(features)
    np.testing.assert_allclose(found, head.predict_proba(features), atol=1e-6)


def test_classifier_is_found_by_its_name(tmp_path: Path, fitted: LogisticRegression) -> None:
    turned = pickle.loads(pickle.dumps(fitted))
    turned.coef_ = -fitted.coef_
    save(fitted, tmp_path)
    save_classifier(SceneClassifier.from_estimator(turned, "", {}, tmp_path), tmp_path, CONTRACT, {}, name="turned")
    for name, expected in (("default", fitted), ("turned", turned)):
        found = SceneClassifier.load(find_classifier(tmp_path, name))
        np.testing.assert_array_equal(found.estimator.coef_, expected.coef_)
    with pytest.raises(ClassifierError, match=r"no scene classifier 'domain'; it has default, turned"):
        find_classifier(tmp_path, "domain")


@pytest.mark.parametrize("names", [(0, 1), ("0", "1"), (0.0, 1.0), ROUTES])
def test_labels_of_any_type_are_mapped_by_name(
    tmp_path: Path, fitted: LogisticRegression, features: np.ndarray, labels: np.ndarray, names: Any
) -> None:
    other = LogisticRegression(C=1e-4).fit(features, np.array([names[label] for label in labels]))
    found = SceneClassifier.load(save(other, tmp_path)).probabilities(features)
    np.testing.assert_allclose(found, fitted.predict_proba(features), atol=1e-6)


def test_labels_are_not_mapped_by_position(tmp_path: Path, fitted: LogisticRegression, features: np.ndarray) -> None:
    turned = pickle.loads(pickle.dumps(fitted))
    turned.classes_, turned.coef_, turned.intercept_ = np.array(["1", "0"]), -fitted.coef_, -fitted.intercept_
    found = SceneClassifier.load(save(turned, tmp_path)).probabilities(features)
    np.testing.assert_allclose(found, fitted.predict_proba(features), atol=1e-6)


def test_labels_are_alphabetical() -> None:
    assert dict(LABELS) == {"dense": 0, "sparse": 1}


def test_unwrapping_drops_samplers_and_keeps_transformers(features: np.ndarray, labels: np.ndarray) -> None:
    steps = [("smote", SMOTE()), ("none", "passthrough"), ("scale", StandardScaler()), ("lr", LogisticRegression())]
    search = GridSearchCV(SamplingPipeline(steps), {"lr__C": [1e-3]}, cv=2).fit(features, labels)
    plain = unwrap(search)
    assert type(plain) is Pipeline
    assert [name for name, _ in plain.steps] == ["scale", "lr"]
    np.testing.assert_allclose(plain.predict_proba(features), search.predict_proba(features))


def test_probe_is_not_saturated(fitted: LogisticRegression) -> None:
    """A saturated probe could not distinguish two classifiers."""
    middle = fitted.predict_proba(probe_features())[:, 0]
    assert ((middle > 0.01) & (middle < 0.99)).any()
