"""Alerts of a camera that moves from one watcher to another, on the wall of a console that joins them."""

from typing import Any

import pytest

from crowdserve.console.follower import Follower
from crowdserve.console.joined import JoinedWatchers

ALERT = {"id": "1", "camera": "gate", "zone": "picture", "cleared_at": None}
VIEW = {"name": "gate", "at": 1.0}


@pytest.fixture
def joined() -> JoinedWatchers:
    return JoinedWatchers(["a", "b"], None)


def watcher(joined: JoinedWatchers, name: str) -> Follower:
    """One that is followed."""
    joined._followers[name] = found = Follower(f"http://{name}", joined._http, joined._take)
    return found


def tell(follower: Follower, *alerts: dict[str, Any], cameras: tuple[str, ...] = ("gate",)) -> None:
    """What a watcher tells that has these cameras and alerts."""
    for name in cameras:
        follower._take("camera", VIEW | {"name": name})
    for alert in alerts:
        follower._take("alert", alert)
    still_open = [each["id"] for each in alerts if each["cleared_at"] is None]
    follower._take("cameras", {"names": list(cameras), "watchers": [], "open": still_open})


def shown(joined: JoinedWatchers) -> list[str]:
    """Ids of the alerts on the wall, all of which are open as it tells pages."""
    names = joined._wall.names("alert")
    assert joined._wall.get("cameras", "")["open"] == sorted(names)
    return names


def test_an_alert_of_a_former_watcher_is_taken_down_when_another_has_the_camera(joined: JoinedWatchers) -> None:
    """It raised its own, which nobody would ever tell to be over."""
    first, second = watcher(joined, "a"), watcher(joined, "b")
    tell(first, ALERT)
    tell(second, cameras=())
    assert shown(joined) == ["1"]
    tell(first, cameras=())
    assert shown(joined) == ["1"], "nobody has the camera: what is known of it stays"
    tell(second, ALERT | {"id": "2"})
    assert shown(joined) == ["2"]


def test_an_alert_that_moves_with_its_camera_stays(joined: JoinedWatchers) -> None:
    """Watchers that share a history know of each other's."""
    first, second = watcher(joined, "a"), watcher(joined, "b")
    tell(first, ALERT)
    tell(second, ALERT)
    tell(first, cameras=())
    assert shown(joined) == ["1"]
    over = ALERT | {"cleared_at": 5.0}
    tell(second, over)
    assert joined._wall.get("alert", "1") == over
    assert joined._wall.get("cameras", "")["open"] == []


def test_a_new_alert_is_not_taken_for_one_that_has_moved(joined: JoinedWatchers) -> None:
    """It is told before the list that has it."""
    only = watcher(joined, "a")
    tell(only)
    only._take("alert", ALERT)
    assert shown(joined) == ["1"]


def test_an_alert_stays_while_its_watcher_is_not_heard_or_lists_none(joined: JoinedWatchers) -> None:
    silent, older = watcher(joined, "a"), watcher(joined, "b")
    tell(silent, ALERT)
    silent._set(connected=False)
    older._take("camera", VIEW | {"name": "hall"})
    older._take("alert", ALERT | {"id": "2", "camera": "hall"})
    older._take("cameras", {"names": ["hall"], "watchers": []})
    assert shown(joined) == ["1", "2"]
