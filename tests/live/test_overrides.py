"""Zones that were changed in the console where the file cannot take them."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from crowdserve.live import overrides as module
from crowdserve.live.configuration import Camera
from crowdserve.live.configuration.reading import checked_zones
from crowdserve.live.history.store import HistoryStore
from crowdserve.live.history.versions import prepare
from crowdserve.live.history.zones import CameraTaken
from crowdserve.live.overrides import Overrides
from tests.live.history.test_store import url  # noqa: F401 (the databases)

LEFT: dict[str, Any] = {"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1]], "limit": 10}
RIGHT: dict[str, Any] = {"name": "right", "polygon": [[0.5, 0], [1, 0], [1, 1]], "for": "5s"}


def camera(*zones: dict[str, Any], **more: Any) -> Camera:
    return Camera.model_validate({"name": "gate", "source": "rtsp://host/1", "zones": zones, **more})


def names(of: Overrides, filed: Camera) -> list[str]:
    return [zone.name for zone in of.laid_over([filed])["gate"].zones]


@pytest.fixture
def stores(url: str) -> Iterator[tuple[HistoryStore, HistoryStore]]:  # noqa: F811
    opened = HistoryStore(url), HistoryStore(url)
    yield opened
    for store in opened:
        store.close()


def changed(of: Overrides, filed: Camera, *zones: dict[str, Any]) -> None:
    of.put(filed, checked_zones(filed, list(zones)))


def test_they_go_before_those_of_the_file_until_that_changes(stores: tuple[HistoryStore, HistoryStore]) -> None:
    first, second = map(Overrides, stores)
    filed = camera(LEFT)
    assert names(first, filed) == ["left"]
    changed(first, filed, RIGHT)
    for each in (first, second, Overrides(stores[1])):  # who takes the camera over, and whoever starts anew
        assert names(each, filed) == ["right"]
        assert names(each, camera(LEFT, every=1.0)) == ["right"]  # its zones are as they were
    assert second.laid_over([filed])["gate"].zones[0].for_seconds == 5
    assert names(second, camera(LEFT, RIGHT)) == ["left", "right"]


def test_a_file_that_goes_back_to_what_it_was_does_not_bring_old_changes_back(
    stores: tuple[HistoryStore, HistoryStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = map(Overrides, stores)
    changed(first, camera(LEFT), RIGHT)
    assert names(second, camera()) == []  # the new file has not come to the first yet
    assert names(first, camera(LEFT)) == ["right"]
    later = time.time() + module._DISAGREE_SECONDS + 1
    monkeypatch.setattr(module.time, "time", lambda: later)
    assert names(first, camera()) == []
    assert names(first, camera(LEFT)) == ["left"]
    assert names(second, camera(LEFT)) == ["left"]


def test_those_that_the_history_has_not_taken_stay_when_it_answers_again(
    stores: tuple[HistoryStore, HistoryStore],
) -> None:
    first, second = map(Overrides, stores)
    filed = camera()
    changed(first, filed, LEFT)
    first.put(filed, checked_zones(filed, [RIGHT]), keep=False)
    assert (names(first, filed), names(second, filed)) == (["right"], ["left"])
    changed(first, filed, LEFT, RIGHT)
    changed(second, filed, LEFT)
    assert names(first, filed) == ["left"], "it was taken, and what another watcher has changed since counts"
    first.put(filed, checked_zones(filed, [RIGHT]), keep=False)
    assert names(first, camera(LEFT, RIGHT)) == ["left", "right"]
    assert names(first, filed) == ["left"]


def test_who_has_lost_the_camera_changes_nothing(stores: tuple[HistoryStore, HistoryStore]) -> None:
    first, second = map(Overrides, stores)
    stores[0].claim({"gate": 1}, 0)
    changed(first, camera(), LEFT)
    stores[1].claim({"gate": 2}, 1)
    with pytest.raises(CameraTaken, match="another watcher"):
        changed(first, camera(), RIGHT)
    assert names(second, camera()) == ["left"]
    assert names(first, camera()) == ["left"]


def test_dropped_ones_are_gone_for_all(stores: tuple[HistoryStore, HistoryStore]) -> None:
    first, second = map(Overrides, stores)
    changed(first, camera(), LEFT)
    first.drop("gate")
    assert names(first, camera()) == names(second, camera()) == []


def test_without_a_history_they_are_this_process_s(monkeypatch: pytest.MonkeyPatch) -> None:
    only = Overrides(None)
    changed(only, camera(), LEFT)
    assert names(only, camera()) == ["left"]
    assert (only.are_kept, names(Overrides(None), camera())) == (False, [])


def test_a_history_that_is_away_is_told_and_what_was_read_before_counts(
    stores: tuple[HistoryStore, HistoryStore],
) -> None:
    first, _ = map(Overrides, stores)
    changed(first, camera(), LEFT)
    with stores[1].engine.begin() as connection:
        connection.execute(text("ALTER TABLE zones RENAME TO elsewhere"))
    assert (names(first, camera()), first.unread) == (["left"], True)
    with stores[1].engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO zones"))
    assert (names(first, camera()), first.unread) == (["left"], False)


def test_zones_that_do_not_fit_the_camera_any_more(stores: tuple[HistoryStore, HistoryStore]) -> None:
    only = Overrides(stores[0])
    changed(only, camera(), {"name": "px", "polygon_px": [[0, 0], [9, 0], [9, 9]]})
    corners = [[0.2, 0.9], [0.8, 0.9], [0.6, 0.5], [0.4, 0.5]]
    calibrated = camera(calibration={"corners": corners, "width_m": 4, "depth_m": 10})
    assert names(only, calibrated) == []


def test_those_of_a_camera_before_rest_while_another_has_its_name(stores: tuple[HistoryStore, HistoryStore]) -> None:
    first, second = map(Overrides, stores)
    changed(first, camera(LEFT), RIGHT)
    for each in (first, second, Overrides(None)):
        if each is not first and each is not second:
            changed(each, camera(LEFT), RIGHT)
        assert names(each, camera(LEFT, source="rtsp://another/1")) == ["left"]
        assert names(each, camera(LEFT, source="rtsp://user:new@host/1")) == ["right"]
    changed(second, camera(LEFT, source="rtsp://another/1"), LEFT, RIGHT)
    assert names(first, camera(LEFT, source="rtsp://another/1")) == ["left", "right"]
    assert names(first, camera(LEFT)) == ["left"]


def test_zones_of_a_history_that_did_not_keep_their_source(stores: tuple[HistoryStore, HistoryStore]) -> None:
    first, second = map(Overrides, stores)
    changed(first, camera(LEFT), RIGHT)
    with stores[0].engine.begin() as connection:
        connection.execute(text("ALTER TABLE zones DROP COLUMN source"))
        connection.execute(text("UPDATE schema_version SET version = 3"))
    prepare(stores[0].engine, "it")
    assert names(second, camera(LEFT, source="rtsp://another/1")) == ["right"]
