"""Bodies and messages that are small on the wire and large in memory."""

import gzip
import threading
import time
from contextlib import ExitStack, closing

import pytest

from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.transport.inflation import FREE_BYTES
from tests.support.attacks import PATH, post, seconds_of_photo, watched
from tests.support.http2 import HostileGrpcClient

pytestmark = pytest.mark.e2e

MIB = 2**20
BOMB = gzip.compress(bytes(60 * MIB), 9)
BODIES_BYTES = 256 * MIB
"""What bodies may take of the budget, of which 24 times `FREE_BYTES` is three quarters; the rest is the allocator's."""

V1 = "/v1/models/crowdserve:predict"


@pytest.fixture(scope="module")
def url(small_service: EmbeddedService) -> str:
    return small_service.http_url


@pytest.mark.parametrize("path", [PATH, V1])
def test_bomb_is_refused_before_it_has_gone_off(url: str, path: str) -> None:
    response = post(url, BOMB, path, **{"content-encoding": "gzip"})
    assert response.status_code == 413, response.text
    assert "inflates to over 100 times its size" in response.json()["error"]


def test_bombs_at_once_leave_room_and_time_for_photos(url: str, small_service: EmbeddedService) -> None:
    assert 24 * FREE_BYTES < BODIES_BYTES
    statuses: list[int] = []

    def attack() -> None:
        statuses.append(post(url, BOMB, **{"content-encoding": "gzip"}).status_code)

    with watched(url, small_service.transformer.pid) as watch:
        threads = [threading.Thread(target=attack) for _ in range(24)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        waited = seconds_of_photo(url)
        for thread in threads:
            thread.join()
    assert set(statuses) == {413}
    assert watch.failures == []
    assert watch.grown_bytes < BODIES_BYTES  # whole they would have taken 1,440 MiB
    assert waited < 20


@pytest.mark.parametrize("method", ["ModelInfer", "ServerLive"])
def test_messages_that_the_core_would_inflate_on_arrival(url: str, small_service: EmbeddedService, method: str) -> None:
    """Forty of them took a process over 2 GB, and held its event loop for seconds."""
    path = f"/inference.GRPCInferenceService/{method}"
    assert len(BOMB) < 64_000
    with ExitStack() as opened, watched(url, small_service.transformer.pid) as watch:
        for _ in range(40):
            client = opened.enter_context(closing(HostileGrpcClient(small_service.grpc_url, path)))
            client.send_whole(1, BOMB, "gzip")
        assert seconds_of_photo(url) < 20
    assert watch.failures == []
    assert watch.grown_bytes < 512 * MIB
