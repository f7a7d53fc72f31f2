import logging
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from crowdserve.live.backoff import BackOff
from crowdserve.live.history import writer
from crowdserve.live.history.store import HistoryStore
from crowdserve.live.history.writer import Entry, HistoryWriter
from crowdserve.live.observations import Alert, HistoryState
from tests.live.readings import alert, reading
from tests.support.sqlite import locked
from tests.support.waiting import wait_for


class Flaky(HistoryStore):
    """A store whose disk is full the first few times."""

    failures = 3

    def record(self, *entries: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise OperationalError("INSERT", {}, Exception("disk full at postgresql://u:pass-word@h/x"))
        super().record(*entries)


def test_everything_is_written_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_LAST_SECONDS", 60.0)  # as long as a disk that others use may take
    url = f"sqlite:///{tmp_path}/history.db"
    running = HistoryWriter(HistoryStore(url), keep_seconds=1e10)
    for number in range(1200):
        running.put(Entry(reading(at=time.time() + number / 1000), [alert(str(number))]))
    running.close()
    store = HistoryStore(url)
    assert len(list(store.counts(camera="a"))) == 2400
    assert len(store.open_alerts()) == 1200
    store.close()


def test_a_database_that_is_away_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    running = HistoryWriter(Flaky(url), 1e10, BackOff(0.01, 0.01))
    running.put(Entry(reading(at=time.time())))
    deadline = time.monotonic() + 20
    store = HistoryStore(url)
    with caplog.at_level(logging.WARNING):
        while not list(store.counts()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    running.close()
    store.close()
    assert caplog.text.count("disk full") == 3
    assert "pass-word" not in caplog.text


def test_an_entry_that_the_database_refuses_does_not_hold_up_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    running = HistoryWriter(HistoryStore(url), keep_seconds=1e10)
    wrong = Alert("wrong", "a", None, "people", 10, 12, 0)  # type: ignore[arg-type]
    for each in (alert("1"), wrong, alert("2")):
        running.put(Entry(reading(at=time.time()), [each]))
    running.close()
    store = HistoryStore(url)
    assert {each.id for each in store.open_alerts()} == {"1", "2"}
    assert len(list(store.counts())) == 4
    store.close()
    assert "an entry is lost: NOT NULL constraint failed" in caplog.text


def test_old_counts_go(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    store = HistoryStore(url)
    store.record([reading(at=time.time() - 100), reading(at=time.time())], [])
    HistoryWriter(store, keep_seconds=50).close()
    again = HistoryStore(url)
    assert len(list(again.counts())) == 2
    again.close()


def test_it_is_known_since_when_the_database_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_LATE_SECONDS", 0.1)
    url = f"sqlite:///{tmp_path}/history.db"
    store = HistoryStore(url)
    running = HistoryWriter(store, 1e10, BackOff(0.01, 0.01))
    assert running.state == HistoryState()
    with locked(tmp_path / "history.db"):
        before = time.time()
        running.put(Entry(reading(at=before)))
        wait_for(lambda: running.state.away_since is not None)
        assert before <= (running.state.away_since or 0) <= time.time()
        running.put(Entry(reading(at=before + 1)))
        assert running.state.waiting == 2
    wait_for(lambda: running.state == HistoryState())
    assert len(list(store.counts(camera="a"))) == 4
    running.close()


def test_what_is_lost_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_MAX_WAITING", 3)
    running = HistoryWriter(HistoryStore(f"sqlite:///{tmp_path}/history.db"), 1e10, BackOff(0.01, 0.01))
    wrong = Alert("wrong", "a", None, "people", 10, 12, 0)  # type: ignore[arg-type]
    running.put(Entry(reading(at=time.time()), [wrong]))
    wait_for(lambda: running.state.lost == 1)
    with locked(tmp_path / "history.db"):
        running.put(Entry(reading(at=time.time())))
        wait_for(running._waiting.empty)  # it is being tried
        for _ in range(5):
            running.put(Entry(reading(at=time.time())))
    assert running.state.lost == 3
    running.close()
