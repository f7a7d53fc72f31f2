import logging
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from crowdserve.live.backoff import BackOff
from crowdserve.live.history.store import HistoryStore
from crowdserve.live.history.writer import Entry, HistoryWriter
from crowdserve.live.observations import Alert
from tests.live.readings import alert, reading


class Flaky(HistoryStore):
    """A store whose disk is full the first few times."""

    failures = 3

    def record(self, *entries: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise OperationalError("INSERT", {}, Exception("disk full at postgresql://u:pass-word@h/x"))
        super().record(*entries)


def test_everything_is_written_at_the_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    writer = HistoryWriter(HistoryStore(url), keep_seconds=1e10)
    for number in range(1200):
        writer.put(Entry(reading(at=time.time() + number / 1000), [alert(str(number))]))
    writer.close()
    store = HistoryStore(url)
    assert len(list(store.counts(camera="a"))) == 2400
    assert len(store.open_alerts()) == 1200
    store.close()


def test_a_database_that_is_away_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    writer = HistoryWriter(Flaky(url), 1e10, BackOff(0.01, 0.01))
    writer.put(Entry(reading(at=time.time())))
    deadline = time.monotonic() + 20
    store = HistoryStore(url)
    with caplog.at_level(logging.WARNING):
        while not list(store.counts()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    writer.close()
    store.close()
    assert caplog.text.count("disk full") == 3
    assert "pass-word" not in caplog.text


def test_an_entry_that_the_database_refuses_does_not_hold_up_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    writer = HistoryWriter(HistoryStore(url), keep_seconds=1e10)
    wrong = Alert("wrong", "a", None, "people", 10, 12, 0)  # type: ignore[arg-type]
    for each in (alert("1"), wrong, alert("2")):
        writer.put(Entry(reading(at=time.time()), [each]))
    writer.close()
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
