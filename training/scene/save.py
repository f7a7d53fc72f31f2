"""Writing of a scene classifier and its record for `crowdserve.scene.classifier.SceneClassifier.load`."""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn

from crowdserve.scene.classifier import SceneClassifier, probe_features
from crowdserve.scene.contract import check_contract
from crowdserve.scene.decision import Decision
from crowdserve.scene.dense_head import DenseHead, write_head
from crowdserve.scene.estimator_arrays import to_arrays
from crowdserve.scene.files import DENSE_HEAD, SCIKIT_LEARN, SCIKIT_LEARN_ARRAYS, TYPES
from crowdserve.scene.names import DEFAULT_NAME, record_path


def save_classifier(
    draft: SceneClassifier,
    folder: Path,
    features: Mapping[str, Any],
    training: Mapping[str, Any],
    *,
    name: str = DEFAULT_NAME,
    as_pickle: bool = False,
    decision: Decision | None = None,
) -> SceneClassifier:
    """Write a fitted classifier and its record, then load them as serving does.

    Args:
        draft: Classifier made by `SceneClassifier.from_estimator`.
        folder: Folder for the file and its record, beside VGG16's `model.onnx`.
        features: The feature contract of its training data.
        training: Further facts for the record: data, label strategy, seed, figures.
        name: Name that an operator selects it by; an earlier classifier of that name is replaced.
        as_pickle: Whether one of scikit-learn's is saved as a joblib file, which serving reads only where an operator
            allows it, instead of as arrays.
        decision: How serving chooses a route by its probabilities; None takes the likelier scene.

    Raises:
        ClassifierError: If serving would refuse the classifier, or it cannot be saved as arrays.
    """
    kind, content, more = _serialise(draft.estimator, as_pickle=as_pickle)
    path = record_path(folder, name)
    check_contract(features, path)
    record = {
        "type": kind,
        "sha256": hashlib.sha256(content).hexdigest(),
        **more,
        "classes": [str(label) for label in draft.estimator.classes_],
        "date": datetime.now(UTC).date().isoformat(),
        "features": dict(features),
        "probe": draft.probabilities(probe_features()).tolist(),
        "training": dict(training),
        **({"decision": decision.to_record()} if decision else {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(path.with_suffix(TYPES[kind].suffix), content)
    _write(path, (json.dumps(record, indent=2) + "\n").encode())
    for suffix in {other.suffix for other in TYPES.values()} - {TYPES[kind].suffix}:
        path.with_suffix(suffix).unlink(missing_ok=True)
    return SceneClassifier.load(path, allow_pickle=as_pickle)


def _serialise(estimator: Any, *, as_pickle: bool) -> tuple[str, bytes, dict[str, Any]]:
    """The type of an estimator, the content of its file, and what more its record says."""
    if isinstance(estimator, DenseHead):
        return DENSE_HEAD, write_head(estimator), {}
    version = {"scikit_learn": sklearn.__version__}
    if not as_pickle:
        steps, content = to_arrays(estimator, probe_features().astype(np.float64))
        return SCIKIT_LEARN_ARRAYS, content, {**version, "steps": steps}
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer, compress=3)
    return SCIKIT_LEARN, buffer.getvalue(), version


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
