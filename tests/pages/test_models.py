import json
import shutil
from pathlib import Path

import pytest

from crowdserve.cards import CARDS, ENSEMBLES
from crowdserve.errors import RepositoryError
from crowdserve.pages.models import accuracy_table, ensemble_table, fill_page, model_table, write_tables

META = {
    "data": ["shanghaitech A/train"],
    "photos": {"training": 270, "validation": 30},
    "validation": {"step": 10, "mae": 12.34, "rmse": 23.45, "bias": -3.21},
    "mean_predictor": {"mae": 99.9},
    "cpu_seconds": 7200.0,
    "wall_seconds": 4500.0,
    "machine": {"cores": 2},
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / "csrnet_a" / "1"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps(META))
    (folder / "model.onnx").write_bytes(b"x" * 2_500_000)
    return tmp_path / "repository"


def test_every_network_and_ensemble_has_a_row(repository: Path) -> None:
    assert all(f"| `{name}` | " in model_table(repository) for name in CARDS)
    assert all(f"| `{ensemble.name}` | " in ensemble_table(repository) for ensemble in ENSEMBLES.values())


def test_row_of_a_network_has_its_errors_and_their_share_of_the_mean_predictor(repository: Path) -> None:
    row = "| `csrnet_a` | counts people in dense scenes | 16,263,489 | 2.5 MB | {} | {} |"
    assert row.format("", "") in model_table(repository)
    folder = repository / "csrnet_a" / "1"
    errors = {"all": {"all photos": {"mae": 33.3, "rmse": 44.4}}}
    (folder / "evaluation.json").write_text(json.dumps({"errors": errors}))
    assert row.format("33.3 / 44.4", "33%") in model_table(repository)
    (folder / "meta.json").write_text(json.dumps({"source": "published by others"}))
    assert row.format("33.3 / 44.4", "") in model_table(repository)


def test_accuracy_comes_from_the_newest_training_record(repository: Path) -> None:
    assert "| 12.3 | 23.4 | -3.2 | 99.9 | 75 min, 2 cores |" in accuracy_table(repository)
    newer = repository / "csrnet_a" / "10"
    shutil.copytree(repository / "csrnet_a" / "1", newer)
    (newer / "meta.json").write_text(
        json.dumps({**META, "validation": {"mae": 7.0, "rmse": 8.0, "bias": 1.0}, "started_from": META})
    )
    assert "| 7.0 | 8.0 | 1.0 | 99.9 | 150 min, 2 cores |" in accuracy_table(repository)


def test_pages_are_filled_and_checked(repository: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- models: generated -->\nold \\1\n<!-- models: end -->\nbelow\n")
    with pytest.raises(RepositoryError, match="out of date"):
        write_tables(page, repository, only_check=True)
    write_tables(page, repository)
    write_tables(page, repository, only_check=True)
    text = page.read_text()
    assert text.startswith("above\n")
    assert text.endswith("below\n")
    assert model_table(repository) in text
    assert "old" not in text


def test_missing_end_mark_is_named(repository: Path) -> None:
    with pytest.raises(RepositoryError, match="accuracy: end"):
        fill_page("<!-- accuracy: generated -->", repository)
