"""Writes a scene classifier and its record the way `crowdserve.scene.SceneClassifier.load` wants them."""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import sklearn

from crowdserve.scene import FILE_NAME, SceneClassifier, probe_features
from crowdserve.scene_contract import check_contract


def save_classifier(
    draft: SceneClassifier, folder: Path, features: Mapping[str, Any], training: Mapping[str, Any]
) -> SceneClassifier:
    """Write a fitted classifier and its record, then load them as serving does.

    Args:
        draft: Made by `SceneClassifier.from_estimator`.
        folder: Where `scene_classifier.joblib` and `.json` go: beside VGG16's `model.onnx`.
        features: The feature contract of its training data.
        training: What else is worth knowing later: data, label strategy, seed, figures.

    Raises:
        ClassifierError: If serving would refuse it.
    """
    path = folder / FILE_NAME
    check_contract(features, path)
    buffer = io.BytesIO()
    joblib.dump(draft.estimator, buffer, compress=3)
    record = {
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "scikit_learn": sklearn.__version__,
        "classes": [str(label) for label in draft.estimator.classes_],
        "date": datetime.now(UTC).date().isoformat(),
        "features": dict(features),
        "probe": draft.probabilities(probe_features()).tolist(),
        "training": dict(training),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, buffer.getvalue())
    _write(path.with_suffix(".json"), (json.dumps(record, indent=2) + "\n").encode())
    return SceneClassifier.load(path)


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
