import json
import shutil
from pathlib import Path

import pytest

from crowdserve.cards import CARDS, ENSEMBLES
from crowdserve.errors import RepositoryError
from crowdserve.pages.models import accuracy_table, fill_page, model_table, write_tables

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
    table = model_table(repository)
    for name in (*CARDS, *(ensemble.name for ensemble in ENSEMBLES.values())):
        assert f"| `{name}` |" in table
    assert "2.5 MB" in table


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
