import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crowdserve.cards import find_card
from crowdserve.cards.records import (
    EVALUATION_FILE,
    INT8_RECORD,
    META_FILE,
    MODEL_FILE,
    check_records,
    keep_evaluation,
    model_sha256,
    newest_version,
    read_record,
    training_time,
)
from crowdserve.cli.app import app
from crowdserve.errors import RepositoryError
from crowdserve.pages.sections import card_section

CARD = find_card("csrnet_b")


def errors(photos: int, mae: float) -> dict[str, Any]:
    return {"photos": photos, "without_heads": 0, "mean_true_count": 70.0, "mae": mae, "rmse": 9.0, "bias": -1.25}


@pytest.fixture
def summary() -> dict[str, Any]:
    """The parts of the output of `crowdserve evaluate` that are read."""
    return {
        "crowdserve": "0.2.0",
        "choices": {"route": "sparse", "counter": "csrnet", "every_route": False},
        "selection": {"datasets": ["/home/me/part_B"], "subset": None, "split": "validate", "limit": None},
        "models": {"vgg16": "1", "csrnet_b": "3"},
        "errors": {
            "all": {"all photos": errors(5, 6.5)},
            "true count": {"21–50": errors(3, 4.0), "51–100": errors(2, 10.25)},
            "data set": {"/home/me/part_B: shanghaitech B/train": errors(5, 6.5)},
        },
        "worst": [{"key": "b1", "image": "/home/me/part_B/IMG_1.jpg"}],
    }


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for version in ("1", "3"):
        folder = tmp_path / "repository" / CARD.name / version
        folder.mkdir(parents=True)
        (folder / MODEL_FILE).write_bytes(version.encode())
    return tmp_path / "repository"


def keep(summary: dict[str, Any], repository: Path) -> Path:
    file = repository.parent / "summary.json"
    file.write_text(json.dumps(summary))
    return keep_evaluation(file, repository)


def test_evaluation_is_stored_with_the_evaluated_version(summary: dict[str, Any], repository: Path) -> None:
    assert keep(summary, repository) == repository / CARD.name / "3" / EVALUATION_FILE
    record = read_record(repository, CARD, EVALUATION_FILE)
    assert record is not None
    assert record["errors"]["true count"] == summary["errors"]["true count"]
    assert record["data"] == ["shanghaitech B/train"]
    assert record["model_sha256"] == hashlib.sha256(b"3").hexdigest()
    assert "/home/me" not in json.dumps(record)  # neither folders nor photos


def test_command_stores_the_evaluation(summary: dict[str, Any], repository: Path) -> None:
    file = repository.parent / "summary.json"
    file.write_text(json.dumps(summary))
    result = CliRunner().invoke(app, ["repository", "keep-evaluation", str(file), "--repository", str(repository)])
    assert result.exit_code == 0, result.output
    assert read_record(repository, CARD, EVALUATION_FILE) is not None


def test_section_lists_errors_by_head_count(summary: dict[str, Any], repository: Path) -> None:
    before = card_section(repository, CARD)
    assert "crowdserve evaluate DATASET --route sparse --counter csrnet" in before
    keep(summary, repository)
    section = card_section(repository, CARD)
    assert "Through the service, shanghaitech B/train, split `validate`:" in section
    assert "| 51–100 | 2 | 70.0 | 10.2 | 9.0 | -1.2 |" in section
    assert "| all photos | 5 | 70.0 | 6.5 | 9.0 | -1.2 |" in section
    assert "crowdserve evaluate" not in section


def test_section_of_a_published_network_omits_training(repository: Path) -> None:
    meta = {
        "card": CARD.name,
        "normalisation": "imagenet_torch",
        "source": "published h5",
        "file": "b.h5",
        "sha256": "ab12",
    }
    (repository / CARD.name / "10").mkdir()
    (repository / CARD.name / "10" / "meta.json").write_text(json.dumps(meta))
    section = card_section(repository, CARD)
    assert "| weights | published h5, b.h5, SHA-256 ab12 |" in section
    assert "RGB / 255 less 0.485, 0.456, 0.406, divided by 0.229, 0.224, 0.225" in section
    for untrue in (CARD.provenance.weights, CARD.provenance.licence, CARD.provenance.dataset, "BGR"):
        assert untrue not in section


def test_evaluation_of_several_networks_is_refused(summary: dict[str, Any], repository: Path) -> None:
    for route, counter in (("auto", "csrnet"), (None, "csrnet"), ("sparse", "average"), ("sparse", None)):
        summary["choices"] = {"route": route, "counter": counter}
        with pytest.raises(RepositoryError, match="do not name one network"):
            keep(summary, repository)


def test_another_file_or_version_is_refused(summary: dict[str, Any], repository: Path) -> None:
    with pytest.raises(RepositoryError, match="has no version 4 of csrnet_b"):
        keep({**summary, "models": {"csrnet_b": "4"}}, repository)
    with pytest.raises(RepositoryError, match=r"is not a summary\.json"):
        keep({"choices": {"route": "sparse", "counter": "csrnet"}}, repository)
    with pytest.raises(RepositoryError, match=r"is not a summary\.json"):
        keep_evaluation(repository / "none.json", repository)
    assert not list(repository.rglob(EVALUATION_FILE))


def test_records_of_the_model_beside_them_pass(summary: dict[str, Any], repository: Path) -> None:
    check_records(repository, [CARD])  # no records
    folder = keep(summary, repository).parent
    (folder / META_FILE).write_text(json.dumps({"card": CARD.name, "model_sha256": model_sha256(folder)}))
    check_records(repository, [CARD])


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        (META_FILE, r"export the network again \(python -m export\.csrnet\)"),
        (EVALUATION_FILE, r"evaluate the network again \(crowdserve evaluate"),
        (
            INT8_RECORD,
            r"quantise the network again \(python -m export\.csrnet --format openvino-int8\), or remove int8",
        ),
    ],
)
def test_record_of_another_file_is_refused(repository: Path, name: str, remedy: str) -> None:
    folder = repository / CARD.name / "1"
    there = hashlib.sha256(b"1").hexdigest()
    (folder / name).write_text(json.dumps({"model_sha256": "0" * 64}))
    with pytest.raises(RepositoryError, match=rf"{folder / name} describes .* {'0' * 64}, .* {there}; {remedy}"):
        check_records(repository, [CARD])
    (folder / name).write_text("{}")
    with pytest.raises(RepositoryError, match=rf'does not say which .*; {remedy}.* "model_sha256": "{there}"'):
        check_records(repository, [CARD])
    for text in ("[]", "{", b"\xff"):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(RepositoryError, match=rf"{folder / name} cannot be read as a record .*; {remedy}"):
            check_records(repository, [CARD])


def test_weights_in_8_bits_of_another_export_are_refused(repository: Path) -> None:
    folder = repository / CARD.name / "1"
    weights = folder / "int8.bin"
    record = {"model_sha256": model_sha256(folder), "int8_sha256": hashlib.sha256(b"weights").hexdigest()}
    (folder / INT8_RECORD).write_text(json.dumps(record))
    weights.write_bytes(b"weights")
    check_records(repository, [CARD])
    weights.write_bytes(b"others")
    with pytest.raises(RepositoryError, match=rf"{weights} should have SHA-256 .*; quantise the network again"):
        check_records(repository, [CARD])
    weights.unlink()
    with pytest.raises(RepositoryError, match=rf"{weights} should have .* there is no such file"):
        check_records(repository, [CARD])


def test_evaluation_copied_from_another_network_is_refused(summary: dict[str, Any], repository: Path) -> None:
    kept, other = keep(summary, repository), find_card("csrnet_a")
    folder = repository / other.name / "1"
    folder.mkdir(parents=True)
    (folder / MODEL_FILE).write_bytes(b"of another network")
    (folder / EVALUATION_FILE).write_bytes(kept.read_bytes())
    with pytest.raises(RepositoryError, match=r"csrnet_a/1/evaluation\.json describes"):
        check_records(repository, [CARD, other])


def test_versions_are_compared_as_numbers(repository: Path) -> None:
    (repository / CARD.name / "10").mkdir()
    assert newest_version(repository, CARD) == repository / CARD.name / "10"
    assert newest_version(repository, find_card("vgg16")) is None


def test_training_time_names_each_machine_of_a_chain_of_runs() -> None:
    first = {"wall_seconds": 3600.0, "machine": {"cores": 2}}
    second = {"wall_seconds": 1800, "machine": {"cores": 2}, "started_from": first}
    assert training_time(second) == "90 min, 2 cores"
    third = {"wall_seconds": 174, "machine": {"cores": 16, "gpu": "NVIDIA H100"}, "started_from": second}
    assert training_time(third) == "90 min, 2 cores; 3 min, NVIDIA H100"
