"""Scene classifiers as files that tests modify."""

import json
from pathlib import Path

from crowdserve.scene.classifier import SceneClassifier
from crowdserve.scene.contract import feature_facts
from crowdserve.scene.files import unwrap
from crowdserve.scene.names import FILE_NAME, STEM
from training.scene.save import save_classifier

CONTRACT = {**feature_facts(), "onnx_sha256": "0" * 64, "probe_summary": [1.0] * 64}


def save(estimator: object, folder: Path, *, as_pickle: bool = False) -> Path:
    path = folder / (f"{STEM}.joblib" if as_pickle else FILE_NAME)
    draft = SceneClassifier.from_estimator(unwrap(estimator), "", {}, path)
    save_classifier(draft, folder, CONTRACT, {"method": "a test"}, as_pickle=as_pickle)
    return path


def change_record(path: Path, **changes: object) -> None:
    record = path.with_suffix(".json")
    record.write_text(json.dumps(json.loads(record.read_text()) | changes))
