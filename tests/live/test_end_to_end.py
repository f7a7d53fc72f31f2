"""A camera to an alert, through every part: stream, service, zones, limits, webhook, metrics, history."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from crowdserve.client.service import ServiceClient
from crowdserve.live.configuration import Configuration, Site
from crowdserve.live.history.store import HistoryStore
from crowdserve.live.outputs.server import serving_metrics
from crowdserve.live.publishing import Publishing
from crowdserve.live.secrets import Secrets
from crowdserve.live.watcher import Watcher
from crowdserve.local.service import EmbeddedService
from tests.support.cameras import Receiver, TestCamera, running_camera, running_receiver
from tests.support.doors import Door
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

LEFT = {"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "area_m2": 100, "limit": 300}
"""Half of 320x240 px: the small networks count 600 people in white, 141 in the brightness 60, and 471 in 200."""


@contextmanager
def watching(site: dict[str, Any], service_url: str) -> Iterator[tuple[Publishing, str]]:
    """The outputs of a watcher, and the URL of its metrics."""
    configuration = Configuration(Site.model_validate(site), Secrets())
    with ExitStack() as stack:
        client = stack.enter_context(ServiceClient(service_url, use_proxy=False, timeout_seconds=5))
        publishing = Publishing(configuration, "test")
        stack.callback(publishing.close)
        port = stack.enter_context(serving_metrics(publishing.board, publishing.deliveries, "127.0.0.1", 0))
        stack.enter_context(Watcher(configuration, client, publishing))
        yield publishing, f"http://127.0.0.1:{port}"


@pytest.fixture
def camera() -> Iterator[TestCamera]:
    with running_camera() as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


def test_a_zone_over_its_limit(
    small_service: EmbeddedService, camera: TestCamera, receiver: Receiver, tmp_path: Path
) -> None:
    history = f"sqlite:///{tmp_path}/history.db"
    zone = LEFT | {"for": "0.5s"}
    watched = {"name": "platform", "source": f"{camera.url}/stream", "every": 0.2, "route": "dense", "zones": [zone]}
    site = {
        "cameras": [watched | {"average_over": 3, "lost_after": 0.6}],
        "webhooks": [{"url": receiver.url, "secret": "a secret of the test"}],
        "history": {"url": history},
    }
    with Door(small_service.http_url) as door, watching(site, door.url) as (publishing, metrics):
        board = publishing.board

        def now(name: str = "platform") -> Any:
            return board.cameras()[name].reading

        def status() -> str:
            return now().status if now() else "starting"

        # Free.
        wait_for(lambda: status() == "counted" and now().zones[1].average.frames == 3)
        picture, left = now().zones
        assert left.people == pytest.approx(141, rel=0.05)
        assert picture.people == pytest.approx(2 * left.people, rel=0.05)
        assert (left.level, left.over, receiver.taken) == ("busy", (), [])

        # Too full.
        camera.brightness = (200, 0)
        wait_for(lambda: len(receiver.taken) == 1)
        event = json.loads(receiver.taken[0][1])
        assert event["type"] == "io.crowdserve.alert.raised"
        assert (event["data"]["camera"], event["data"]["zone"], event["data"]["kind"]) == ("platform", "left", "people")
        shown = httpx.get(metrics, trust_env=False).text
        assert 'crowdserve_zone_over_limit{camera="platform",zone="left"} 1.0' in shown
        assert 'crowdserve_camera_up{camera="platform"} 1.0' in shown

        # The stream is cut, and comes back.
        camera.cut = True
        wait_for(lambda: status() == "lost")
        assert 'crowdserve_zone_people{camera="platform",zone="left"}' not in httpx.get(metrics, trust_env=False).text
        wait_for(lambda: len(receiver.taken) == 2)
        camera.cut = False
        wait_for(lambda: status() == "counted")
        wait_for(lambda: len(receiver.taken) == 3)

        # The service goes away, and comes back.
        door.close()
        wait_for(lambda: status() == "uncounted")
        assert now().detail.startswith("no service answers at its address (it ")
        door.open()
        wait_for(lambda: status() == "counted")

        # Free again: over once, cleared once, whatever happened between.
        camera.brightness = (60, 60)
        wait_for(lambda: any(b"left" in body and b"alert.cleared" in body for _, body in receiver.taken))
    types = [json.loads(body)["type"] for _, body in receiver.taken if json.loads(body)["subject"] == "left"]
    assert types == ["io.crowdserve.alert.raised", "io.crowdserve.alert.cleared"]
    store = HistoryStore(history)
    rows = list(store.counts())
    store.close()
    assert {row["zone"] for row in rows} == {"picture", "left"}
    assert max(row["people"] for row in rows if row["zone"] == "left") == pytest.approx(471, rel=0.05)
    assert not store.open_alerts()
