"""Two watchers with one history: cameras pass from one to the other, with their alerts."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from crowdserve.client.service import ServiceClient
from crowdserve.kubeconfig import custom_objects
from crowdserve.live.configuration import Configuration, Site
from crowdserve.live.division.api import ApiLeases
from crowdserve.live.division.leases import LeasesAway
from crowdserve.live.division.ranking import winner
from crowdserve.live.division.running import Division
from crowdserve.live.division.timing import Timing
from crowdserve.live.history.store import HistoryStore
from crowdserve.live.publishing import Publishing
from crowdserve.live.secrets import Secrets
from crowdserve.live.watcher import Watcher
from crowdserve.local.service import EmbeddedService
from tests.support.cameras import running_camera, running_receiver
from tests.support.cluster.api_server import ApiServer
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

FAST = Timing(lease_seconds=1.5, look_seconds=0.1, retry_seconds=0.1, verify_seconds=1)
CAMERAS = ("gate", "hall", "platform", "stairs")


class OneWatcher:
    """A watcher of the test's process."""

    def __init__(self, name: str, site: dict[str, Any], service: EmbeddedService) -> None:
        self.name = name
        self.stack = ExitStack()
        configuration = Configuration(Site.model_validate(site), Secrets())
        api, namespace = custom_objects()
        self.division = Division(ApiLeases(api, namespace, "fleet"), name, timing=FAST)
        self.stack.callback(self.division.leave)
        client = self.stack.enter_context(ServiceClient(service.http_url, use_proxy=False, timeout_seconds=5))
        self.readings: list[tuple[float, str]] = []
        self.outputs = Publishing(
            configuration, "fleet", lambda r, _: self.readings.append((time.time(), r.camera)), self.division.holds
        )
        self.stack.callback(self.outputs.close)
        self.watcher = Watcher(configuration, client, self.outputs, self.division)
        self.stack.enter_context(self.watcher)

    def counts(self) -> set[str]:
        """Cameras that it counts."""
        return {name for name, facts in self.outputs.board.cameras().items() if facts.reading}


def test_an_alert_goes_on_at_the_next_watcher_and_is_told_once(
    small_service: EmbeddedService, kubernetes_api: ApiServer, tmp_path: Path
) -> None:
    with running_camera() as camera, running_receiver() as receiver, ExitStack() as stack:
        zone = {"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "limit": 300}
        source = {"source": f"{camera.url}/stream", "every": 0.2, "route": "dense", "zones": [zone]}
        url = f"sqlite:///{tmp_path}/history.db"
        site: dict[str, Any] = {
            "cameras": [{"name": name, **source} for name in CAMERAS],
            "webhooks": [{"url": receiver.url}],
            "history": {"url": url},
        }
        camera.brightness = (200, 0)  # over the limit
        first = OneWatcher("a", site, small_service)
        stack.callback(first.stack.close)
        wait_for(lambda: len(receiver.taken) == len(CAMERAS))
        raised = {json.loads(body)["data"]["alert"] for _, body in receiver.taken}

        # Another comes: it takes its share, and nothing else moves.
        second = OneWatcher("b", site, small_service)
        stack.callback(second.stack.close)
        moved = {name for name in CAMERAS if winner(name, ("a", "b")) == "b"}
        assert moved
        wait_for(lambda: second.counts() == moved and first.counts() == set(CAMERAS) - moved)
        wait_for(lambda: {each.id for each in second.outputs.board.open_alerts()} < raised)
        assert second.outputs.board.division() == {"watchers": 2, "held": len(moved), "share": len(moved)}

        # The first loses its way to the API server for good: it stops before the second takes over.
        first.division._session._leases = _Away()  # type: ignore[union-attr,assignment]
        wait_for(lambda: second.counts() == set(CAMERAS), 15)
        assert not any(first.division.holds(name) for name in CAMERAS)
        begun = min(at for at, name in second.readings if name not in moved)
        assert max(at for at, name in first.readings if name not in moved) < begun

        # Free again: each alert is over, by the watcher that has its camera, and each was told once.
        camera.brightness = (60, 60)
        wait_for(lambda: len(receiver.taken) == 2 * len(CAMERAS))
        second.stack.close()
    assert {json.loads(body)["data"]["alert"] for _, body in receiver.taken} == raised
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 2 * len(CAMERAS)
    store = HistoryStore(url)
    assert store.open_alerts() == []
    store.close()


class _Away:
    """No way to the API server."""

    def __getattr__(self, name: str) -> Any:
        raise LeasesAway("cut")
