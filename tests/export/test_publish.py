import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crowdserve.cards import CARDS, TensorSpec
from crowdserve.cards.records import check_records
from crowdserve.errors import ParityError
from export.graph.builder import OnnxGraph
from export.publish import release
from export.verify.parity import Images, Outputs

CARD = replace(
    CARDS["vgg16"], name="doubled", outputs=(TensorSpec("features", "FP32", (224, 224, 3), "twice the pixel"),)
)
IMAGES = [np.random.default_rng(0).integers(1, 256, (2, 224, 224, 3), np.uint8)]


@pytest.fixture
def model() -> bytes:
    graph = OnnxGraph(CARD)
    x = graph.add("Cast", "image", name="float", to=1)
    graph.add("Add", x, x, name="features")
    return graph.to_bytes()


def doubled(images: Images) -> Outputs:
    return {"features": images.astype(np.float32) * 2}


def tripled(images: Images) -> Outputs:
    return {"features": images.astype(np.float32) * 3}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_writes_the_model_and_its_record(model: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = release(model, CARD, doubled, images=IMAGES, repository=tmp_path, version=3, meta={"seed": 7})
    assert path == tmp_path / "doubled" / "3" / "model.onnx"
    written = files(tmp_path)
    assert set(written) == {"doubled/3/model.onnx", "doubled/3/meta.json"}
    assert written["doubled/3/model.onnx"] == model
    sha256 = hashlib.sha256(model).hexdigest()
    assert json.loads(written["doubled/3/meta.json"]) == {"seed": 7, "model_sha256": sha256}
    printed = capsys.readouterr().out
    assert "1 batches" in printed
    assert "features       0.0e+00 on 2 x 224x224 px (tolerance 2e-03)" in printed


def test_no_record_writes_no_record_file(model: bytes, tmp_path: Path) -> None:
    release(model, CARD, doubled, images=IMAGES, repository=tmp_path, version=1)
    assert set(files(tmp_path)) == {"doubled/1/model.onnx"}


def test_records_stay_only_with_unchanged_weights(model: bytes, tmp_path: Path) -> None:
    path = release(model, CARD, doubled, images=IMAGES, repository=tmp_path, version=1)
    records = [path.with_name(name) for name in ("evaluation.json", "meta.json")]
    for record in records:
        record.write_text("{}")
    release(model, CARD, doubled, images=IMAGES, repository=tmp_path, version=1)
    assert all(record.exists() for record in records)
    path.write_bytes(model[:-1])
    release(model, CARD, doubled, images=IMAGES, repository=tmp_path, version=1)
    assert not any(record.exists() for record in records)


def test_record_of_a_served_version_names_the_new_file(model: bytes, tmp_path: Path) -> None:
    """The meta.json of an export from a served version holds the SHA-256 of that version's file."""
    meta = {"model_sha256": "0" * 64}
    release(model, CARD, doubled, images=IMAGES, repository=tmp_path, version=2, meta=meta)
    check_records(tmp_path, [CARD])


def test_failed_check_leaves_the_repository_unchanged(model: bytes, tmp_path: Path) -> None:
    release(model, CARD, doubled, images=IMAGES, repository=tmp_path, version=1, meta={"seed": 1})
    before = files(tmp_path)
    for version in (1, 2):
        with pytest.raises(ParityError, match="features"):
            release(model, CARD, tripled, images=IMAGES, repository=tmp_path, version=version, meta={"seed": 2})
    assert files(tmp_path) == before
    assert not (tmp_path / "doubled" / "2").exists()
