"""Tables of other versions of crowdserve."""

import json
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from crowdserve.errors import SetupError
from crowdserve.live.history.store import HistoryStore
from crowdserve.live.history.versions import NEWEST, version_of
from tests.live.history.test_store import url  # noqa: F401 (the databases)
from tests.live.readings import alert, reading

FIRST = (
    "CREATE TABLE counts (at TIMESTAMP NOT NULL, camera VARCHAR(63) NOT NULL, zone VARCHAR(64) NOT NULL, "
    "people FLOAT NOT NULL, average FLOAT NOT NULL, spread FLOAT, frames INTEGER NOT NULL, people_per_m2 FLOAT, "
    "level VARCHAR(16))",
    "CREATE TABLE statuses (at TIMESTAMP NOT NULL, camera VARCHAR(63) NOT NULL, status VARCHAR(16) NOT NULL, "
    "detail VARCHAR(500) NOT NULL)",
    "CREATE TABLE alerts (id VARCHAR(36) PRIMARY KEY, camera VARCHAR(63) NOT NULL, zone VARCHAR(64) NOT NULL, "
    'kind VARCHAR(16) NOT NULL, "limit" FLOAT NOT NULL, value FLOAT NOT NULL, raised_at TIMESTAMP NOT NULL, '
    "cleared_at TIMESTAMP)",
    "CREATE TABLE outbox (id VARCHAR(48), address VARCHAR(32), body {blob} NOT NULL, since TIMESTAMP NOT NULL, "
    "PRIMARY KEY (id, address))",
)
"""The tables as the first version made them, without their indices."""


def version(url: str) -> int:  # noqa: F811
    engine = create_engine(url)
    with engine.connect() as connection:
        found = version_of(connection)
    engine.dispose()
    return found


@pytest.mark.parametrize("table", ["counts (a INTEGER)", "schema_version (number TEXT)", "alerts (id TEXT)"])
def test_a_database_of_another_program_is_left_alone(table: str, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/other.db")
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {table}"))
    engine.dispose()
    before = (tmp_path / "other.db").read_bytes()
    for read_only in (False, True):
        with pytest.raises(SetupError, match=r"tables of another program; name a database of its own"):
            HistoryStore(f"sqlite:///{tmp_path}/other.db", read_only=read_only)
    with create_engine(f"sqlite:///{tmp_path}/other.db").connect() as connection:
        assert len(connection.execute(text("SELECT name FROM sqlite_master")).all()) == 1
    assert len(before) == (tmp_path / "other.db").stat().st_size


def test_a_history_of_the_first_version_goes_on(url: str) -> None:  # noqa: F811
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in ("schema_version", "zones", "owners", "outbox", "alerts", "statuses", "counts"):
            connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
        blob = "BYTEA" if engine.dialect.name == "postgresql" else "BLOB"
        for statement in FIRST:
            connection.execute(text(statement.replace("{blob}", blob)))
        values = {"body": json.dumps({"data": {"camera": "a"}}).encode()}
        row = "('1.raised', 'hook', :body, '2026-05-01 00:00:00')"
        connection.execute(text(f"INSERT INTO outbox VALUES {row}"), values)
        alerts = "('1', 'a', 'gate', 'people', 10, 12, '1970-01-01 00:00:00', NULL)"
        connection.execute(text(f"INSERT INTO alerts VALUES {alerts}"))
    engine.dispose()
    assert version(url) == 1
    for _ in range(2):
        store = HistoryStore(url)
        assert [each.id for each in store.claim({"a": 1}, 0)] == ["1"]
        assert [each.id for each in store.undelivered(["a"], ["hook"])] == ["1.raised"]
        assert store.undelivered(["b"], ["hook"]) == []
        store.record([reading("a", 1)], [alert("2")])
        store.record([], [alert("2", cleared_at=2)])
        store.close()
    assert version(url) == NEWEST


def test_a_history_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.db"  # noqa: F811
    HistoryStore(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE schema_version SET version = 99"))
    engine.dispose()
    with pytest.raises(SetupError, match=f"has tables of version 99, and this crowdserve knows {NEWEST}; install"):
        HistoryStore(url)
    assert version(url) == 99


def test_watchers_that_start_together_make_the_tables_once(url: str) -> None:  # noqa: F811
    failures: list[Exception] = []

    def start() -> None:
        try:
            HistoryStore(url).close()
        except SetupError as err:
            failures.append(err)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert version(url) == NEWEST
