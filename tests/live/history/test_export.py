import csv
import io
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from crowdserve.cli.app import app
from crowdserve.errors import SetupError
from crowdserve.live.history.export import COLUMNS
from crowdserve.live.history.store import HistoryStore
from tests.live.readings import reading


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/history.db"
    store = HistoryStore(url)
    store.record([reading("a", 86400 * day) for day in range(3)] + [reading("b", 0)], [])
    store.close()
    return url


def export(*arguments: object) -> str:
    found = CliRunner().invoke(app, ["history", "export", *map(str, arguments)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_csv(url: str, tmp_path: Path) -> None:
    export(tmp_path / "counts.csv", "--history", url)
    text = (tmp_path / "counts.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 8
    assert rows[0] | {"camera": "a", "zone": "gate", "at": "1970-01-01T00:00:00.000Z", "people": "12.0"} == rows[0]
    assert export("-", "--history", url).splitlines() == text.splitlines()


def test_parquet(url: str, tmp_path: Path) -> None:
    export(tmp_path / "counts.parquet", "--history", url)
    table = pyarrow.parquet.read_table(tmp_path / "counts.parquet")
    assert tuple(table.column_names) == COLUMNS
    assert table.num_rows == 8
    first = table.to_pylist()[0]
    assert (first["camera"], first["people"], first["frames"]) == ("a", 12.0, 3)
    assert first["at"].isoformat() == "1970-01-01T00:00:00+00:00"


def test_part_of_it(url: str) -> None:
    found = export("-", "--history", url, "--camera", "a", "--since", "1970-01-02", "--until", "1970-01-03T00:00")
    assert len(found.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("counts.xlsx",), "expected a name that ends with .csv or .parquet, or -"),
        (("-", "--since", "yesterday"), "'yesterday' is no day or moment"),
        (("/no/such/folder/x.csv",), "cannot be written: No such file"),
    ],
)
def test_refusals(url: str, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(SetupError, match=message):
        export(*arguments, "--history", url)


def test_a_history_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="there is no history"):
        export("-", "--history", f"sqlite:///{tmp_path}/missing.db")
    assert not (tmp_path / "missing.db").exists()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody reaches, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="crowdserve-history-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize(("of_folder", "of_file"), [(0o555, 0o444), (0o755, 0o444), (0o555, 0o644)])
def test_a_history_that_may_only_be_read(url: str, open_folder: Path, of_folder: int, of_file: int) -> None:
    expected = export("-", "--history", url)
    file = Path(shutil.copy(url.removeprefix("sqlite:///"), open_folder / "a history.db"))
    file.chmod(of_file)
    open_folder.chmod(of_folder)
    is_root = os.geteuid() == 0  # who may write everything
    os.seteuid(65534 if is_root else os.geteuid())
    try:
        assert export("-", "--history", f"sqlite:///{file}") == expected
    finally:
        os.seteuid(0 if is_root else os.geteuid())
    assert [each.name for each in open_folder.iterdir()] == ["a history.db"]


def test_a_history_is_read_while_it_is_written_and_stays_as_it_is(url: str) -> None:
    path = url.removeprefix("sqlite:///")
    expected = export("-", "--history", url)
    with sqlite3.connect(path) as writing:
        writing.execute("UPDATE counts SET camera = 'c'")  # and it is not committed yet
        assert export("-", "--history", url) == expected
        writing.rollback()
    writing.close()


def test_a_file_without_a_history(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "other.db").close()
    (tmp_path / "other.db").touch()
    with pytest.raises(SetupError, match="there is no history in"):
        export("-", "--history", f"sqlite:///{tmp_path}/other.db")
    assert not (tmp_path / "other.db").stat().st_size
