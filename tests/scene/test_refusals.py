"""Files and estimators that are not scene classifiers of these features are refused."""

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from crowdserve.errors import ClassifierError
from crowdserve.scene.array_file import MAX_FILE_BYTES
from crowdserve.scene.classifier import SceneClassifier
from crowdserve.scene.contract import FEATURE_COUNT
from crowdserve.scene.dense_head import DenseHead
from crowdserve.scene.files import MAX_RECORD_BYTES, unpickle
from tests.support.classifiers import CONTRACT, change_record, save
from training.scene.save import save_classifier


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def test_wrong_hash_is_refused_before_loading(tmp_path: Path, fitted: LogisticRegression) -> None:
    path, sprung = save(fitted, tmp_path, as_pickle=True), tmp_path / "sprung"
    joblib.dump(Trap(sprung), path)
    with pytest.raises(ClassifierError, match="SHA-256") as refusal:
        SceneClassifier.load(path, allow_pickle=True)
    assert "not opened" in str(refusal.value)
    assert not sprung.exists()
    joblib.load(path)
    assert sprung.exists()  # the trap works


def test_a_pickle_is_not_opened_unless_that_is_allowed(tmp_path: Path, fitted: LogisticRegression) -> None:
    """Its record and its hash may be right: whoever can write one can write both."""
    path, sprung = save(fitted, tmp_path, as_pickle=True), tmp_path / "sprung"
    assert type(SceneClassifier.load(path, allow_pickle=True).estimator) is LogisticRegression
    joblib.dump(Trap(sprung), path)
    change_record(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(ClassifierError, match=r"not opened.*--import scene_classifier.joblib.*ALLOW_PICKLE"):
        SceneClassifier.load(path)
    assert not sprung.exists()


@pytest.mark.parametrize("kind", ["scikit-learn-arrays", "dense-head"])
def test_a_pickle_under_another_type_is_not_opened(tmp_path: Path, fitted: LogisticRegression, kind: str) -> None:
    path, sprung = save(fitted, tmp_path), tmp_path / "sprung"
    joblib.dump(Trap(sprung), path)
    change_record(path, type=kind, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(ClassifierError, match="holds no"):
        SceneClassifier.load(path)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"probe": "many"},
        {"probe": [[1, 2], [3]]},
        {"probe": {}},
        {"probe": [1e400]},
        {"type": ["scikit-learn"]},
        {"type": {}},
        {"features": CONTRACT | {"probe_summary": "none"}},
        {"features": CONTRACT | {"probe_summary": [0.0] * 64}},
        {"features": CONTRACT | {"probe_summary": [1.0]}},
    ],
)
def test_a_record_of_other_types_is_refused(
    tmp_path: Path, fitted: LogisticRegression, changes: dict[str, object]
) -> None:
    path = save(fitted, tmp_path)
    change_record(path, **changes)
    with pytest.raises(ClassifierError):
        SceneClassifier.load(path)


def test_a_record_that_is_endless_or_deep_is_refused(tmp_path: Path, fitted: LogisticRegression) -> None:
    path = save(fitted, tmp_path)
    for content in ("[" * 100_000, " " * (MAX_RECORD_BYTES + 1)):
        path.with_suffix(".json").write_text(content)
        with pytest.raises(ClassifierError, match="is not a JSON record"):
            SceneClassifier.load(path)


def test_a_file_larger_than_any_classifier_is_not_read(tmp_path: Path, fitted: LogisticRegression) -> None:
    path = save(fitted, tmp_path)
    with path.open("r+b") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ClassifierError, match="larger than 268,435,456 bytes"):
        SceneClassifier.load(path)


def test_one_changed_byte_is_refused(tmp_path: Path, fitted: LogisticRegression) -> None:
    path = save(fitted, tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ClassifierError, match="SHA-256"):
        SceneClassifier.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing: a classifier is not opened without its record"),
        ("{", "is not a JSON record"),
        ("7", "is not a JSON record"),
        ('{"type": "oracle"}', "the type 'oracle', expected one of scikit-learn, scikit-learn-arrays, dense-head"),
        ('{"type": "dense-head"}', "lacks features, probe, sha256"),
        ('{"sha256": ""}', "lacks features, probe, scikit_learn"),
    ],
)
def test_missing_or_broken_record_is_refused(
    tmp_path: Path, fitted: LogisticRegression, content: str | None, message: str
) -> None:
    path = save(fitted, tmp_path)
    path.with_suffix(".json").unlink()
    if content is not None:
        path.with_suffix(".json").write_text(content)
    with pytest.raises(ClassifierError, match=message):
        SceneClassifier.load(path)


def test_missing_classifier_is_named(tmp_path: Path, fitted: LogisticRegression) -> None:
    path = save(fitted, tmp_path)
    path.unlink()
    with pytest.raises(ClassifierError, match=r"scene_classifier\.npz is missing"):
        SceneClassifier.load(path)


@pytest.mark.parametrize("contract", [CONTRACT | {"order": "NCHW"}, CONTRACT | {"length": 512}, {}, None])
def test_features_of_another_network_are_refused(
    tmp_path: Path, fitted: LogisticRegression, contract: dict[str, object]
) -> None:
    path = save(fitted, tmp_path)
    change_record(path, features=contract)
    with pytest.raises(ClassifierError, match="features"):
        SceneClassifier.load(path)


def test_other_scikit_learn_with_equal_results_is_accepted(
    tmp_path: Path, fitted: LogisticRegression, features: np.ndarray
) -> None:
    path = save(fitted, tmp_path)
    change_record(path, scikit_learn="0.24.2")
    found = SceneClassifier.load(path).probabilities(features)
    np.testing.assert_allclose(found, fitted.predict_proba(features), atol=1e-6)


def test_other_scikit_learn_with_different_results_is_refused(tmp_path: Path, fitted: LogisticRegression) -> None:
    path = save(fitted, tmp_path)
    recorded = json.loads(path.with_suffix(".json").read_text())["probe"]
    change_record(path, scikit_learn="0.24.2", probe=[[dense + 1e-4, sparse - 1e-4] for dense, sparse in recorded])
    with pytest.raises(ClassifierError, match=r"0\.24\.2 in training"):
        SceneClassifier.load(path)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression().fit(np.eye(4), [0, 1, 0, 1]), "takes 4 features"),
        (LinearRegression().fit(np.eye(4), [0, 1, 0, 1]), "expected a fitted probabilistic classifier"),
        (LogisticRegression(), "expected a fitted probabilistic classifier"),
        ({"not": "a classifier"}, "holds a dict"),
    ],
)
def test_other_estimator_is_refused(tmp_path: Path, estimator: Any, message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        save(estimator, tmp_path)


@pytest.mark.parametrize("names", [(1, 2), ("indoor", "outdoor")])
def test_other_classes_are_refused(tmp_path: Path, fitted: LogisticRegression, names: tuple[object, object]) -> None:
    other = pickle.loads(pickle.dumps(fitted))
    other.classes_ = np.array(names)
    with pytest.raises(ClassifierError, match="has the classes"):
        save(other, tmp_path)


def test_missing_module_is_named(tmp_path: Path) -> None:
    content = b"cno_such_module\nClassifier\n."
    with pytest.raises(ClassifierError, match="'no_such_module'"):
        unpickle(content, tmp_path / "old.pkl")


def test_broken_pickles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="cannot be unpickled"):
        unpickle(b"no pickle at all", tmp_path / "old.pkl")


@pytest.mark.parametrize("shape", [(FEATURE_COUNT,), (1, 512), (1, 7, 7, 512)])
def test_features_of_another_shape_are_refused(
    tmp_path: Path, fitted: LogisticRegression, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ClassifierError, match="expected"):
        SceneClassifier.load(save(fitted, tmp_path)).probabilities(np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_features_are_refused(
    tmp_path: Path, fitted: LogisticRegression, features: np.ndarray, value: float
) -> None:
    broken = features[:2].copy()
    broken[1, 5] = value
    with pytest.raises(ClassifierError, match="not all finite"):
        SceneClassifier.load(save(fitted, tmp_path)).probabilities(broken)


def test_dense_head_is_hashed_and_probed_too(tmp_path: Path, head: DenseHead) -> None:
    draft = SceneClassifier.from_estimator(head, "", {}, tmp_path)
    save_classifier(draft, tmp_path, CONTRACT, {})
    path = tmp_path / "scene_classifier.npz"
    recorded = json.loads(path.with_suffix(".json").read_text())["probe"]
    change_record(path, probe=[[dense + 0.01, sparse - 0.01] for dense, sparse in recorded])
    with pytest.raises(ClassifierError, match=r"for the probe features.*train again"):
        SceneClassifier.load(path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ClassifierError, match="SHA-256"):
        SceneClassifier.load(path)
