"""The scene classifier in serving: VGG16 features in, probabilities of a dense and of a sparse scene out.

A classifier is one of scikit-learn's or a dense head computed with numpy; `crowdserve.scene.files` describes its files
beside VGG16's `model.onnx`.

A file is hashed first and refused when its hash is not the recorded one. That detects a mixed-up or damaged file; a
person who can write both files can still forge both. A classifier is read from plain arrays, which can run no code.
Unpickling can run any, so a pickle is opened only where its caller allows it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn

from crowdserve.cards import ROUTES, VGG16, SceneRoute
from crowdserve.errors import ClassifierError
from crowdserve.scene.array_file import MAX_FILE_BYTES
from crowdserve.scene.contract import FEATURE_COUNT, check_contract, check_network, check_summary, recorded_numbers
from crowdserve.scene.decision import Decision
from crowdserve.scene.files import SCIKIT_LEARN, SCIKIT_LEARN_ARRAYS, TYPES, read_bounded, read_record

LABELS: Mapping[SceneRoute, int] = MappingProxyType({route: label for label, route in enumerate(sorted(ROUTES))})
"""Class labels in feature files: alphabetical, 0 = dense, 1 = sparse."""


@dataclass(frozen=True, slots=True)
class SceneClassifier:
    """A fitted classifier of scenes.

    Attributes:
        estimator: A classifier with scikit-learn's `predict_proba` and `classes_`, of two classes.
        sha256: Hash of the classifier's file, in hexadecimal.
        record: The record that was saved with it.
        decision: How a route is chosen by its probabilities.
    """

    estimator: Any = field(repr=False)
    sha256: str
    record: Mapping[str, Any] = field(repr=False)
    _columns: tuple[int, ...] = field(repr=False)
    decision: Decision = field(default_factory=Decision)

    @classmethod
    def load(cls, path: Path, *, allow_pickle: bool = False) -> "SceneClassifier":
        """Read a classifier: its record, then the file beside it (the same name, with the suffix of its type).

        Another scikit-learn version than the recorded one is accepted when it reproduces the recorded probabilities of
        the probe features: behaviour matters, and version numbers alone would refuse good files.

        Args:
            path: Path of the record or of the file.
            allow_pickle: Whether a joblib file may be unpickled.

        Raises:
            ClassifierError: If a file is missing, it is a pickle and may not be, its hash is not the recorded one, its
                features are not those that this version of crowdserve computes, or the classifier does not behave as
                recorded.
        """
        record = read_record(path.with_suffix(".json"))
        kind = TYPES[record["type"]]
        path = path.with_suffix(kind.suffix)
        if not path.is_file():
            raise ClassifierError(f"{path} is missing, its record is there; copy both files or train again")
        if kind.is_pickle and not allow_pickle:
            raise ClassifierError(
                f"{path} is a joblib file, and reading one runs any code that is in it; it was not opened. Save it as "
                f"arrays where you trust it (python -m training.scene.train --import {path.name} --output .), or set "
                "allow_pickle (CROWDSERVE_ALLOW_PICKLE=true) if nobody else can write the bundle"
            )
        try:
            content = read_bounded(path, MAX_FILE_BYTES)
        except (OSError, ValueError) as err:
            raise ClassifierError(f"{path} cannot be read: {err}; copy both files or train again") from err
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != record["sha256"]:
            raise ClassifierError(
                f"{path} has SHA-256 {sha256}, its record says {record['sha256']}; it was not opened. Copy both files "
                "together from where they were trained"
            )
        check_contract(record["features"], path)
        check_summary(record["features"], path)
        classifier = cls.from_estimator(kind.read(content, path, record), sha256, record, path)
        classifier._check_probe(path)
        return classifier

    @classmethod
    def from_estimator(cls, estimator: Any, sha256: str, record: Mapping[str, Any], path: Path) -> "SceneClassifier":
        """Wrap a fitted estimator; errors name `path`.

        Raises:
            ClassifierError: If it is not a classifier of dense and sparse scenes on VGG16's features.
        """
        if not hasattr(estimator, "predict_proba") or not hasattr(estimator, "classes_"):
            raise ClassifierError(
                f"{path} holds a {type(estimator).__name__}; expected a fitted probabilistic classifier"
            )
        expected = getattr(estimator, "n_features_in_", FEATURE_COUNT)
        if expected != FEATURE_COUNT:
            raise ClassifierError(
                f"{path} takes {expected:,} features, {VGG16.name} gives {FEATURE_COUNT:,}; train again"
            )
        try:
            decision = Decision.from_record(record)
        except ValueError as err:
            raise ClassifierError(f"{path.with_suffix('.json')}: {err}; train again") from err
        return cls(estimator, sha256, record, _columns(list(estimator.classes_), path), decision)

    def probabilities(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Probabilities of the scenes; about 0.2 ms per photo, on as many threads as BLAS may use (`OMP_NUM_THREADS`).

        Args:
            features: [photos, 25088], as Triton's `vgg16` returns them.

        Returns:
            [photos, 2], columns in the order of `crowdserve.cards.ROUTES`; each row sums to 1.

        Raises:
            ClassifierError: If the features have another shape or are not finite.
        """
        if features.ndim != 2 or features.shape[1] != FEATURE_COUNT:
            raise ClassifierError(f"features have shape {list(features.shape)}, expected [photos, {FEATURE_COUNT}]")
        if not np.isfinite(features).all():
            raise ClassifierError(
                f"features are not all finite; look for an overflow in {VGG16.name}, such as FP16 on GPU"
            )
        # In FP64 whatever the training used: a row of FP32 probabilities misses a sum of 1 by rounding.
        found: npt.NDArray[np.float64] = self.estimator.predict_proba(features.astype(np.float64))
        return found[:, self._columns]

    def check_network(self, features: npt.NDArray[np.float32]) -> None:
        """Check that the served VGG16 gives the features that this classifier was trained on.

        Args:
            features: [25088], those of `crowdserve.scene.contract.probe_photo` after `crowdserve.images.scene_input`.

        Raises:
            ClassifierError: If the features differ.
        """
        check_network(self.record["features"], features)

    def _check_probe(self, path: Path) -> None:
        expected = recorded_numbers(self.record, "probe", path)
        kind, advice = self.record["type"], "train again"
        if kind in {SCIKIT_LEARN, SCIKIT_LEARN_ARRAYS}:
            versions = f"scikit-learn {sklearn.__version__} here, {self.record['scikit_learn']} in training"
            advice = f"{versions}: install that version or train again"
        try:
            found = self.probabilities(probe_features())
        except Exception as err:
            raise ClassifierError(f"{path} cannot be used ({err}); {advice}") from err
        if found.shape != expected.shape or not np.abs(found - expected).max() <= TYPES[kind].probe_tolerance:
            raise ClassifierError(
                f"{path} gives {found.tolist()} for the probe features, its record says {expected.tolist()}; {advice}"
            )


def probe_features() -> npt.NDArray[np.float32]:
    """Three synthetic feature rows [3, 25088] from faint to strong, the same on every machine."""
    waves = np.abs(np.sin(np.arange(FEATURE_COUNT) * np.array([[0.7], [1.3], [2.9]])))
    rows: npt.NDArray[np.float32] = (waves * np.array([[0.01], [1.0], [10.0]])).astype(np.float32)
    return rows


def _columns(classes: list[Any], path: Path) -> tuple[int, ...]:
    """Position of each of `ROUTES` among an estimator's classes, which may be 0/1, '0'/'1' or the routes' names."""
    names: dict[str, SceneRoute] = {str(label): route for route, label in LABELS.items()} | {
        route: route for route in ROUTES
    }
    found = [names.get(_label_text(label)) for label in classes]
    if sorted(map(str, found)) != sorted(ROUTES):
        raise ClassifierError(f"{path} has the classes {classes}, expected 0 and 1 ({dict(LABELS)}) or {list(ROUTES)}")
    return tuple(found.index(route) for route in ROUTES)


def _label_text(label: Any) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
