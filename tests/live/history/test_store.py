"""A history in SQLite, and in PostgreSQL if there is one."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crowdserve.errors import SetupError
from crowdserve.live.history import engine
from crowdserve.live.history.store import HistoryStore
from crowdserve.live.observations import Message
from tests.live.readings import alert, not_counted, reading
from tests.support.postgres import needs_postgres


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=needs_postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.db"
    return str(request.getfixturevalue("empty_postgres"))


@pytest.fixture
def store(url: str) -> Iterator[HistoryStore]:
    opened = HistoryStore(url)
    yield opened
    opened.close()


def test_counts_come_back(store: HistoryStore) -> None:
    store.record([reading("a", 1.25), reading("b", 2), not_counted(at=3)], [])
    rows = list(store.counts())
    assert [(row["camera"], row["zone"]) for row in rows] == [
        ("a", "gate"),
        ("a", "picture"),
        ("b", "gate"),
        ("b", "picture"),
    ]
    gate = rows[0]
    assert (gate["people"], gate["average"], gate["spread"], gate["frames"]) == (12, 12, 0.5, 3)
    assert (gate["people_per_m2"], gate["level"], rows[1]["level"]) == (1.2, "busy", None)
    assert gate["at"].isoformat() == "1970-01-01T00:00:01.250000"


def test_some_of_them(store: HistoryStore) -> None:
    store.record([reading("a", at) for at in range(5)] + [reading("b", 2)], [])
    found = store.counts(camera="a", since=1, until=3)
    assert [row["at"].second for row in found if row["zone"] == "gate"] == [1, 2]


def test_statuses_are_kept_when_they_change(store: HistoryStore) -> None:
    readings = [
        reading(at=0),
        reading(at=1),
        not_counted(at=2),
        not_counted(at=3),
        not_counted("black", at=4),
        reading(at=5),
    ]
    for each in readings:
        store.record([each], [])
    with store.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT status FROM statuses ORDER BY at").scalars().all()
    assert rows == ["counted", "frozen", "black", "counted"]


def test_alerts_that_are_not_over_are_found_by_the_next_run(url: str, store: HistoryStore) -> None:
    store.record([], [alert("1", raised_at=100.5), alert("2")])
    store.record([], [alert("2", cleared_at=7)])
    again = HistoryStore(url)
    assert again.open_alerts() == [alert("1", raised_at=100.5)]
    again.close()


def test_messages_are_kept_until_they_are_settled(store: HistoryStore) -> None:
    first, second, other = (
        Message("1.raised", "a", b"x", 100.5, "gate"),
        Message("1.cleared", "a", b"y", 101.25, "gate"),
        Message("1.raised", "b", b"z", 100.5, "gate"),
    )
    store.record([], [], [first, second, other])
    store.record([], [], [], [first])
    assert store.undelivered(["another"], ["a"]) == []
    assert store.undelivered(["gate"], ["a"]) == [second]
    assert store.undelivered(["gate"], ["a", "b"]) == [second]


def test_what_is_too_old_is_removed(store: HistoryStore) -> None:
    store.record([reading(at=at) for at in (0, 50, 100)], [alert("open"), alert("over", cleared_at=10)])
    store.forget_before(60)
    assert [row["at"].isoformat() for row in store.counts()] == ["1970-01-01T00:01:40"] * 2
    assert [each.id for each in store.open_alerts()] == ["open"]
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM alerts").scalar() == 1


@pytest.mark.parametrize(
    "url",
    [
        "history.db",
        "oracle9://u:pass-word@h/x",
        "sqlite:////no/such/folder/x.db",
        "postgresql+psycopg://u:pass-word@127.0.0.1:1/x",
    ],
)
def test_histories_that_cannot_be_opened(url: str) -> None:
    with pytest.raises(SetupError, match="the history") as caught:
        HistoryStore(url)
    assert "pass-word" not in str(caught.value)


def test_a_postgresql_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine._NOTICED, "connect_timeout", "2")  # libpq's least
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and says nothing
        url = f"postgresql+psycopg://crowd:pass-word@127.0.0.1:{silent.getsockname()[1]}/crowd"
        before = time.monotonic()
        with pytest.raises(SetupError, match=r"cannot be opened: .*timeout") as refused:
            HistoryStore(url)
    assert time.monotonic() - before < 15
    assert "pass-word" not in str(refused.value)


@needs_postgres
def test_the_url_may_say_how_long_postgresql_is_waited_for(empty_postgres: str) -> None:
    with closing(HistoryStore(f"{empty_postgres}?connect_timeout=7")) as store, store.engine.connect() as connection:
        used = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
    assert {name: used[name] for name in ("connect_timeout", "tcp_user_timeout")} == {
        "connect_timeout": "7",
        "tcp_user_timeout": "20000",
    }
