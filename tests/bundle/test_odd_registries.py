"""Servers of bundles that answer what none should."""

import json
import socket
from collections.abc import Callable

import pytest

from crowdserve.bundle import pace
from crowdserve.bundle.cache import ModelCache
from crowdserve.bundle.pull import pull_bundle
from crowdserve.errors import BundleError
from tests.support.odd_servers import behaving, dripping

_DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize("address", ["http://{}/bundle.tar", "oci://{}/m:1"])
def test_one_that_drips_has_an_end(address: str, cache: ModelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "PACE_SECONDS", 0.3)
    slow = pytest.raises(BundleError, match=r"bytes came in 0.3 s")
    with behaving(dripping(b"HTTP/1.0 200 OK\r\n\r\n")) as server, slow:
        pull_bundle(address.format(server), cache)
    assert not cache.folder.exists() or not list(cache.folder.iterdir())


def answering(content: bytes, asked: list[str]) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        asked.append(connection.recv(10_000).split()[1].decode())
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + content)

    return answer


@pytest.mark.parametrize(
    "content",
    [
        {"manifests": [{"digest": "latest"}]},
        {"manifests": [{"digest": "../../other/manifests/1"}]},
        {"manifests": [{"digest": "sha512:" + "0" * 128}]},
        {"manifests": []},
        {"manifests": {}},
        {"layers": [{"digest": "../../x"}]},
        {"layers": [None]},
        {"layers": {"a": 1}},
        {"layers": []},
        [],
        None,
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"layers": [' + b"{}," * 100_000 + b"{}]}",
    ],
)
def test_an_image_that_names_no_digest_is_asked_for_nothing_else(content: object, cache: ModelCache) -> None:
    asked: list[str] = []
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    refused = pytest.raises(BundleError, match=r"no image that crowdserve bundle push made|cannot be unpacked")
    with behaving(answering(body, asked)) as server, refused:
        pull_bundle(f"oci://{server}/m:1", cache)
    assert asked == ["/v2/m/manifests/1"]
