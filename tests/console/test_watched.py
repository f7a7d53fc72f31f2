"""A camera on the pages: what they are told, what they may change, and what they never see."""

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from crowdserve.console import access, beside, events
from crowdserve.console.joined import JoinedWatchers
from crowdserve.live.history import writer
from crowdserve.local.service import EmbeddedService
from tests.support.cameras import TestCamera, running_camera
from tests.support.consoles import TOKEN, Told, Watching, console_of, watched
from tests.support.sqlite import locked
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

PASSWORD = "never-to-be-seen"
FILE = """\
# The cameras of the station.
cameras:
  - name: platform   # by the stairs
    source: http://user:${CAMERA_PASSWORD}@127.0.0.1:%d/stream?key=hidden-key
    every: 0.2s
    route: dense
    average_over: 1
    zones:
      - name: left   # the left half
        polygon: [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
        area_m2: 100
        limit: 5000
history: {url: "sqlite:///%s/history.db"}
metrics_port: null
"""
RIGHT = {"name": "right", "polygon": [[0.5, 0], [1, 0], [1, 1], [0.5, 1]], "limit": 10, "for": 0}
JSON = {"content-type": "application/json"}
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True, scope="module")
def nothing_rests_for_long() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access, "_WRONG_SECONDS", 0.01)
        patch.setattr(beside, "_LOOK_SECONDS", 0.2)
        for module in (beside, events):
            patch.setattr(module, "_REST_SECONDS", 0.05)
        patch.setenv("CAMERA_PASSWORD", PASSWORD)
        yield


@pytest.fixture
def camera() -> Iterator[TestCamera]:
    with running_camera() as running:
        running.password = PASSWORD
        yield running


@pytest.fixture
def file(camera: TestCamera, tmp_path: Path) -> Path:
    path = tmp_path / "cameras.yaml"
    path.write_text(FILE % (camera.server_port, tmp_path))
    return path


@dataclass(frozen=True, slots=True)
class Shared:
    """A watcher that no test changes."""

    camera: TestCamera
    file: Path
    watching: Watching


@pytest.fixture(scope="module")
def shared(
    nothing_rests_for_long: None, small_service: EmbeddedService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("shared")
    with running_camera() as camera:
        camera.password = PASSWORD
        (folder / "cameras.yaml").write_text(FILE % (camera.server_port, folder))
        with watched(folder / "cameras.yaml", small_service.http_url) as watching:
            yield Shared(camera, folder / "cameras.yaml", watching)


@pytest.fixture
def watching(file: Path, small_service: EmbeddedService) -> Iterator[Watching]:
    with watched(file, small_service.http_url) as running:
        yield running


def put(url: str, zones: object, headers: dict[str, str], camera: str = "platform") -> httpx.Response:
    path = f"{url}api/cameras/{camera}/zones"
    return httpx.put(path, json={"zones": zones}, headers=headers, trust_env=False, timeout=20)


def zones_of(view: dict[str, Any]) -> dict[str, float]:
    return {zone["name"]: zone["average"] for zone in view.get("zones", ())}


def test_what_pages_are_told(watching: Watching, camera: TestCamera) -> None:
    with Told(watching.url) as told:
        wait_for(lambda: "left" in zones_of(told.cameras.get("platform", {})))
        view = told.cameras["platform"]
        assert zones_of(view)["left"] == pytest.approx(141, rel=0.05)
        assert zones_of(view)["picture"] == pytest.approx(2 * zones_of(view)["left"], rel=0.05)
        assert (view["status"], view["areas"], view["spark"] != []) == ("counted", {"left": 100}, True)
        camera.cut = True
        wait_for(lambda: told.cameras["platform"]["status"] == "lost")
        shown = json.dumps(told.events)
    for secret in (PASSWORD, "hidden-key", "source", str(camera.server_port)):
        assert secret not in shown


def test_the_picture_is_pixelated_and_gets_its_density(shared: Shared) -> None:
    watching = shared.watching
    path = f"{watching.url}api/cameras/platform/picture"
    wait_for(lambda: httpx.get(path, trust_env=False).status_code == 200)
    plain = Image.open(io.BytesIO(httpx.get(path, trust_env=False).content))
    assert plain.size == (1024, 768)  # 64 cells of 16 px
    wait_for(lambda: watching.publishing.newest._pictures["platform"].density is not None)
    reply = httpx.get(path, trust_env=False)
    assert reply.headers["cache-control"] == "no-store"
    laid_over = np.asarray(Image.open(io.BytesIO(reply.content))).astype(int)
    assert np.abs(laid_over[..., 0] - laid_over[..., 1]).mean() > 10  # grey by itself


def test_zones_are_watched_at_once_and_kept_with_the_comments(watching: Watching, file: Path) -> None:
    file.chmod(0o640)
    with Told(watching.url) as told:
        left = {"name": "left", "polygon": [[0, 0], [0.25, 0], [0.25, 1], [0, 1]], "area_m2": 50}
        reply = put(watching.url, [left, RIGHT], BEARER)
        assert (reply.status_code, reply.json()["kept"]) == (200, True)
        wait_for(lambda: "right" in zones_of(told.cameras.get("platform", {})))
        assert zones_of(told.cameras["platform"])["left"] == pytest.approx(70, rel=0.06)
        wait_for(lambda: any(kind == "alert" and value["zone"] == "right" for kind, value in told.events))
    text = file.read_text()
    for kept in ("# The cameras of the station.", "# by the stairs", "# the left half", "${CAMERA_PASSWORD}"):
        assert kept in text
    assert PASSWORD not in text
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(file.parent).count("cameras.yaml") == 1
    assert [path for path in file.parent.iterdir() if path.name.startswith(".")] == []


def test_of_two_who_change_zones_the_slower_one_is_told(watching: Watching) -> None:
    with Told(watching.url) as told:
        wait_for(lambda: "platform" in told.cameras)
        seen = told.cameras["platform"]["zones_version"]
        first = put(watching.url, [RIGHT], BEARER | {"if-match": f'"{seen}"'})
        assert first.status_code == 200
        second = put(watching.url, [], BEARER | {"if-match": f'"{seen}"'})
        assert (second.status_code, "changed by somebody else" in second.json()["error"]) == (412, True)
        wait_for(lambda: told.cameras["platform"]["zones_version"] == first.json()["version"])
        assert [zone["name"] for zone in told.cameras["platform"]["configured"]] == ["right"]
        anew = put(watching.url, [], BEARER | {"if-match": f'W/"{first.json()["version"]}"'})
        assert anew.status_code == 200
        for headers in (BEARER, BEARER | {"if-match": "*"}):  # who has not looked writes all the same
            assert put(watching.url, [RIGHT], headers).status_code == 200


def test_without_a_file_the_zones_are_shown_to_copy(file: Path, small_service: EmbeddedService) -> None:
    with watched(file, small_service.http_url, kept=False) as watching:
        told = put(watching.url, [RIGHT], BEARER).json()
        assert (told["kept"], "command line" in told["reason"]) == (False, True)
        assert "- name: right" in told["yaml"]
        assert [zone.name for zone in watching.watcher.configuration.site.cameras[0].zones] == ["right"]


def test_who_may_not_change(shared: Shared) -> None:
    watching, file = shared.watching, shared.file
    before = file.read_text()
    for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": "crowdserve_console=9999999999.0"}):
        assert put(watching.url, [RIGHT], headers).status_code == 403
    assert file.read_text() == before


def test_a_session_of_a_browser(watching: Watching) -> None:
    origin = watching.url.removesuffix("/console/")
    with httpx.Client(trust_env=False, base_url=watching.url, headers={"origin": origin}) as browser:
        assert browser.post("api/login", json={"token": "wrong"}).status_code == 403
        assert browser.post("api/login", content=b'{"token": "\\ud800"}', headers=JSON).status_code == 403
        assert browser.post("api/login", json={"token": TOKEN}, headers={"origin": "http://evil"}).status_code == 403
        assert browser.post("api/login", json={"token": TOKEN}).status_code == 200
        assert browser.get("api/session").json() == {"changeable": True, "may_change": True}
        path = "api/cameras/platform/zones"
        elsewhere = browser.put(path, json={"zones": []}, headers={"sec-fetch-site": "cross-site"})
        assert elsewhere.status_code == 403
        assert browser.put(path, content=b'{"zones": []}', headers={"content-type": "text/plain"}).status_code == 400
        assert browser.put(path, json={"zones": [RIGHT]}).status_code == 200
        (copied,) = browser.cookies.jar
        browser.post("api/logout", json={})
        assert browser.put(path, json={"zones": [RIGHT]}).status_code == 403
        cookie = {"cookie": f"{copied.name}={copied.value}"}
        assert browser.put(path, json={"zones": [RIGHT]}, headers=cookie).status_code == 403


CANNOT_BE: list[tuple[object, str]] = [
    ([{"name": "line", "polygon": [[0, 0], [1, 1]]}], "expected 3 to 64"),
    ([RIGHT, RIGHT], "is the name of several"),
    ([RIGHT | {"limit": -1}], "zones[1].limit: -1 cannot be"),
    ([RIGHT | {"colour": "red"}], "zones[1].colour: there is no such setting"),
    ("everything", "zones"),
    (None, "zones"),
    ([RIGHT] * 33, "32"),
]


def test_zones_that_cannot_be(shared: Shared) -> None:
    watching, file = shared.watching, shared.file
    before = file.read_text()
    for zones, message in CANNOT_BE:
        reply = put(watching.url, zones, BEARER)
        assert reply.status_code == 400
        assert message in " ".join(reply.json()["messages"])
    assert file.read_text() == before


def test_history(shared: Shared) -> None:
    watching = shared.watching

    def points(zone: str) -> list[Any]:
        reply = httpx.get(
            f"{watching.url}api/cameras/platform/history", params={"zone": zone, "seconds": 600}, trust_env=False
        )
        return list(reply.json()["points"])

    wait_for(lambda: len(points("left")) > 0)
    at, mean, most = points("left")[0]
    assert abs(at - time.time()) < 60
    assert most >= mean == pytest.approx(141, rel=0.1)
    assert points("none") == []
    wrong = httpx.get(f"{watching.url}api/cameras/platform/history?seconds=9999999999", trust_env=False)
    assert wrong.status_code == 400


def test_a_photo_is_counted_with_its_zones(shared: Shared) -> None:
    watching, camera = shared.watching, shared.camera

    def count(photo: bytes, **asked: str) -> httpx.Response:
        return httpx.post(f"{watching.url}api/count", params=asked, content=photo, trust_env=False, timeout=60)

    reply = count(camera.frame(), zones=json.dumps([{"name": "half", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}]))
    assert reply.status_code == 200
    header = json.loads(reply.content[: int(reply.headers["inference-header-content-length"])])
    assert {"count", "heatmap", "zone_names", "zone_counts"} <= {output["name"] for output in header["outputs"]}
    wrong = count(b"<b>no photo</b>")
    assert wrong.status_code == 400
    assert "expected" in wrong.json()["error"]
    assert "expected a list" in count(b"photo", zones="{}").json()["error"]
    elsewhere = httpx.post(f"{watching.url}api/count", content=b"x", headers={"origin": "http://evil"}, trust_env=False)
    assert elsewhere.status_code == 403
    assert "Content-Length" in httpx.post(f"{watching.url}api/count", content=iter([b"x"]), trust_env=False).text


def test_a_console_that_joins_watchers(file: Path, small_service: EmbeddedService) -> None:
    with (
        watched(file, small_service.http_url) as watching,
        console_of(JoinedWatchers([address_of(watching)], TOKEN), small_service.http_url) as joined,
        Told(joined) as told,
    ):
        wait_for(lambda: told.cameras.get("platform", {}).get("status") == "counted")
        wait_for(lambda: httpx.get(f"{joined}api/cameras/platform/picture", trust_env=False).status_code == 200)
        assert put(joined, [RIGHT], {}).status_code == 403
        refused = put(joined, [RIGHT | {"limit": -1}], BEARER)
        assert (refused.status_code, "limit" in refused.json()["messages"][0]) == (400, True)
        assert put(joined, [RIGHT], BEARER).json()["kept"] is True
        wait_for(lambda: "right" in zones_of(told.cameras["platform"]))
        assert put(joined, [], BEARER | {"if-match": '"before"'}).status_code == 412
        assert put(joined, [RIGHT], BEARER, camera="other").status_code == 404
        watching.publishing.board.show([])
        wait_for(lambda: told.cameras["platform"]["away"] is not None)  # nobody watches it, and the page says so
        watching.publishing.board.show(["platform"])
        wait_for(lambda: told.cameras["platform"]["away"] is None)


def test_a_history_that_is_not_written_is_told(
    file: Path, small_service: EmbeddedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_LATE_SECONDS", 0.5)
    with watched(file, small_service.http_url) as watching, ExitStack() as stack:
        joined = stack.enter_context(console_of(JoinedWatchers([address_of(watching)], TOKEN)))
        told = [stack.enter_context(Told(url)) for url in (watching.url, joined)]
        wait_for(lambda: all(histories(each) == [None] for each in told))
        with locked(tmp_path / "history.db"):
            wait_for(lambda: all(is_away(histories(each)) for each in told))
        wait_for(lambda: all(histories(each) == [None] for each in told))


def address_of(watching: Watching) -> str:
    return watching.url.removeprefix("http://").partition("/")[0]


def histories(told: Told) -> list[Any]:
    """What the newest list of cameras says of the watchers' histories; nothing until there is a list of them."""
    lists = [value for kind, value in told.events if kind == "cameras" and value["names"]]
    if not lists:
        return []
    return [each["history"] for each in lists[-1]["watchers"]] or [lists[-1]["history"]]


def is_away(told: list[Any]) -> bool:
    return [each is not None and time.time() - each["away_since"] < 60 for each in told] == [True]
