"""One release with the service, two watchers and the console: its pages at the gateway, while pods are restarted."""

import itertools
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crowdserve.live.division.ranking import winner
from tests.cluster.claims import offer_volume
from tests.cluster.conftest import Factory
from tests.cluster.helpers import PORT, serve
from tests.cluster.kube import until
from tests.cluster.page import Page, open_page
from tests.cluster.release import NAME, Release
from tests.cluster.settings import ClusterSettings

TOKEN = "a-token-of-the-test-0123"
EVERY = 4.0
WATCHERS = tuple(f"{NAME}-watcher-{number}" for number in range(2))


def camera_of(watcher: str) -> str:
    """A name, new in a database that is used again, for a camera that is this watcher's."""
    names = (f"camera-{secrets.token_hex(3)}" for _ in itertools.count())
    return next(name for name in names if winner(name, WATCHERS) == watcher)


CAMERAS = {camera_of(watcher): kind for watcher in WATCHERS for kind in ("snapshot", "stream")}
"""What each serves; two of them are each watcher's."""
GATE = next(iter(CAMERAS))
"""The one with a limit."""
SCRIPT = Path(__file__).with_name("camera_script.py")


@pytest.fixture(scope="module")
def release(shared: Factory, settings: ClusterSettings, photo: Path) -> Release:
    made = shared()
    arguments, files = ["/files/photo.jpg", str(PORT)], {"photo.jpg": photo.read_bytes()}
    serve(made.namespace, settings, "cameras", SCRIPT, arguments, files)
    made.namespace.apply(secret("console", {"token": TOKEN}), secret("cameras", {"CAMERA_PORT": str(PORT)}))
    for name in WATCHERS:
        offer_volume(made.namespace, settings, f"data-{name}")
    image, _, tag = settings.watcher_image.rpartition(":")
    few = {"requests": {"cpu": "20m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    limited = {"name": "picture", "limit": 0.5, "for": "1s"}
    site = {
        "cameras": [
            {"name": name, "source": f"http://cameras:${{CAMERA_PORT}}/{name}/{kind}", "every": EVERY, "route": "dense"}
            | ({"zones": [limited]} if name == GATE else {})
            for name, kind in CAMERAS.items()
        ],
        "history": {"url": settings.postgres or "sqlite:////data/history.db"},
    }
    made.install(
        {
            "watcher": {
                "enabled": True,
                "replicas": len(WATCHERS),
                "image": {"repository": image, "tag": tag},
                "secretName": "cameras",
                "site": site,
                "storage": {"enabled": True, "size": "1Gi"},
                "resources": few,
            },
            "console": {"enabled": True, "tokenSecretName": "console", "resources": few},
        }
    )
    made.wait_ready()
    for kind in (f"deployment/{NAME}-console", f"statefulset/{NAME}-watcher"):
        made.namespace.kubectl("rollout", "status", kind, "--timeout=150s", seconds=160)
    made.await_answers()
    return made


def secret(name: str, values: dict[str, str]) -> dict[str, object]:
    """A Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


@pytest.fixture
def page(release: Release) -> Iterator[Page]:
    with open_page(release) as opened:
        yield opened


def test_the_wall_shows_the_cameras_of_all_watchers_as_they_are_counted(page: Page) -> None:
    began = time.time()
    until(lambda: page.counted_since(began - 60) == set(CAMERAS), "every camera is on the wall, with a count", 60)
    until(lambda: [each["connected"] for each in page.watchers] == [True, True], "both watchers are followed", 30)
    owners = {winner(camera, WATCHERS) for camera in CAMERAS}
    assert owners == set(WATCHERS), "the test's cameras belong to one watcher"
    before = {name: len(page.told[name]) for name in CAMERAS}
    until(lambda: all(len(page.told[name]) >= before[name] + 3 for name in CAMERAS), "counts arrive", 60)
    for name in CAMERAS:
        (picture,) = (zone for zone in page.newest(name)["zones"] if zone["name"] == "picture")
        assert picture["people"] > 0
        shown = page.http.get(f"/console/api/cameras/{name}/picture")
        assert (shown.status_code, shown.content[:3]) == (200, b"\xff\xd8\xff")


def test_pages_and_their_files_are_at_the_gateway(page: Page) -> None:
    moved = page.http.get("/console")
    assert (moved.status_code, moved.headers["location"]) == (307, "console/")
    for path in ("", "camera", "alerts", "count"):
        assert page.http.get(f"/console/{path}").headers["content-type"].startswith("text/html")
    assert page.http.get("/console/api/session").json()["changeable"] is True


def test_a_photo_is_counted_by_the_service_of_the_release(page: Page, photo: Path) -> None:
    reply = page.http.post("/console/api/count", content=photo.read_bytes(), headers={"content-type": "image/jpeg"})
    assert reply.status_code == 200, reply.text
    assert "count" in reply.text


def raised(page: Page) -> list[dict[str, object]]:
    """Alerts of the camera with a limit that are not over."""
    return [each for each in list(page.alerts.values()) if each["camera"] == GATE and each["cleared_at"] is None]


def test_an_alert_and_the_history_are_there_after_restarts(page: Page, release: Release) -> None:
    namespace, owner = release.namespace, winner(GATE, WATCHERS)
    until(lambda: raised(page), "the camera's alert is on the wall", 60)
    first = until(lambda: page.history(GATE), "the camera has a history", 30)[0]
    alert = raised(page)[0]

    # The console keeps nothing: it has all of it again from the watchers.
    namespace.kubectl("delete", "pod", "--selector", "app.kubernetes.io/component=console", "--wait=true")
    page.alerts.clear()
    page.told.clear()
    begun = page.begun
    until(lambda: page.begun > begun and page.counted_since(0) == set(CAMERAS), "the page is told everything anew", 60)
    until(lambda: alert["id"] in page.alerts, "the alert is there again", 20)
    assert page.history(GATE)[0][:2] == first[:2]

    # A watcher has a claim or they share a PostgreSQL: when its cameras are back, so is their history.
    stopped = time.time()
    namespace.kubectl("delete", "pod", owner, "--wait=true", seconds=60)
    until(lambda: page.counted_since(stopped + 1) == set(CAMERAS), "another watcher counts its cameras", 60)
    if release.settings.postgres:
        assert first[:2] in [point[:2] for point in page.history(GATE)]
        assert [each["id"] for each in raised(page)] == [alert["id"]], "the other watcher goes on with the alert"
    namespace.kubectl("wait", "--for=condition=Ready", f"pod/{owner}", "--timeout=90s", seconds=100)
    until(lambda: first[:2] in [point[:2] for point in page.history(GATE)], "the history is there again", 90, 2)
    until(lambda: raised(page), "the alert is there again", 30)
    until(lambda: page.counted_since(time.time() - 3 * EVERY) == set(CAMERAS), "every camera is counted again", 60)


def test_zones_are_changed_with_the_token_alone_and_by_watchers_that_share_them(page: Page, release: Release) -> None:
    path = f"/console/api/cameras/{GATE}/zones"
    polygon = [[0, 0], [1, 0], [1, 0.5], [0, 0.5]]
    zones = {"zones": [{"name": "picture", "limit": 5000}, {"name": "upper", "polygon": polygon}]}
    until(lambda: page.counted_since(time.time() - 3 * EVERY) == set(CAMERAS), "every camera is counted", 60)
    assert page.http.put(path, json=zones).status_code == 403
    assert page.http.post("/console/api/login", json={"token": TOKEN[::-1]}).status_code == 403
    assert page.http.post("/console/api/login", json={"token": TOKEN}).json() == {"may_change": True}
    assert page.http.get("/console/api/session").json()["may_change"] is True
    changed = page.http.put(path, json=zones)
    if not release.settings.postgres:
        assert changed.status_code == 400, changed.text
        assert "no history in PostgreSQL" in changed.text
        return
    assert changed.status_code == 200, changed.text
    until(lambda: counts_upper(page, 0), "the new zone is counted", 30)
    until(lambda: not raised(page), "the alert of the old limit is over", 60)
    stopped = time.time()
    release.namespace.kubectl("delete", "pod", winner(GATE, WATCHERS), "--wait=true", seconds=60)
    until(lambda: counts_upper(page, stopped + 1), "the next watcher counts the new zone", 60)
    assert not raised(page)


def counts_upper(page: Page, moment: float) -> bool:
    """Whether the zone of the test has a count of a later moment."""
    view = page.newest(GATE)
    return GATE in page.counted_since(moment) and "upper" in [zone["name"] for zone in view["zones"]]
