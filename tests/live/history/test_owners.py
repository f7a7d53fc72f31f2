"""Cameras that pass from one watcher to another, in a history that they share."""

from collections.abc import Iterator

import pytest

from crowdserve.live.history.store import HistoryStore
from crowdserve.live.observations import Message
from tests.live.history.test_store import url  # noqa: F401 (the databases)
from tests.live.readings import alert, reading


@pytest.fixture
def two(url: str) -> Iterator[tuple[HistoryStore, HistoryStore]]:  # noqa: F811
    stores = HistoryStore(url), HistoryStore(url)
    yield stores
    for store in stores:
        store.close()


def test_an_alert_goes_on_at_the_watcher_that_takes_its_camera(two: tuple[HistoryStore, HistoryStore]) -> None:
    first, second = two
    assert first.claim({"a": 1, "b": 1}, 0) == []
    first.record([], [alert("1"), alert("2", camera="b"), alert("3")])
    first.record([], [alert("3", cleared_at=5)])
    assert second.claim({"a": 2}, 10) == [alert("1")]


def test_what_the_watcher_before_writes_too_late_is_not_kept(two: tuple[HistoryStore, HistoryStore]) -> None:
    first, second = two
    first.claim({"a": 1, "b": 1}, 0)
    second.claim({"a": 2}, 10)
    message = Message("late.raised", "hook", b"{}", 11.0, "a")
    first.record([reading("a", 11), reading("b", 11)], [alert("late"), alert("kept", camera="b")], [message])
    second.record([reading("a", 12)], [])
    assert [(row["camera"], row["at"].second) for row in second.counts() if row["zone"] == "gate"] == [
        ("b", 11),
        ("a", 12),
    ]
    assert [each.id for each in second.open_alerts()] == ["kept"]
    assert second.undelivered(["a"], ["hook"]) == []
    first.claim({"a": 1}, 13)  # an old claim takes nothing back
    first.record([reading("a", 14)], [])
    assert not [row for row in first.counts() if row["at"].second == 14]


def test_what_was_written_before_the_camera_was_let_go_is_kept(two: tuple[HistoryStore, HistoryStore]) -> None:
    first, second = two
    first.claim({"a": 1}, 0)
    first.give_up(["a"])
    first.record([reading("a", 1)], [])
    second.claim({"a": 2}, 2)
    assert len(list(second.counts())) == 2


def test_a_status_is_written_anew_after_others_had_the_camera(two: tuple[HistoryStore, HistoryStore]) -> None:
    first, second = two
    for store, epoch, at in ((first, 1, 0), (second, 2, 1), (first, 3, 2)):
        store.claim({"a": epoch}, at)
        store.record([reading("a", at)], [])
        store.record([reading("a", at)], [])
    with first.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM statuses").scalar() == 3


def test_alerts_of_cameras_that_nobody_has_had_for_long_are_ended_by_one_watcher(
    two: tuple[HistoryStore, HistoryStore],
) -> None:
    first, second = two
    first.claim({"a": 1}, 0)
    second.claim({"b": 1}, 0)
    first.record([], [alert("watched"), alert("another's", camera="b"), alert("gone", camera="c")])
    second.claim({"b": 1}, 990)
    ended = first.end_orphans(900, 1000) + second.end_orphans(900, 1000)
    assert [(each.id, each.cleared_at) for each in ended] == [("gone", 1000)]
    assert {each.id for each in first.open_alerts()} == {"watched", "another's"}
