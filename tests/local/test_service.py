"""The whole embedded service and its client, with models of predictable counts."""

import io
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from crowdserve.cards import COUNTERS, SceneRoute
from crowdserve.client.service import ServiceClient, decode_reply, encode_request
from crowdserve.errors import (
    ImageTooLarge,
    InvalidRequest,
    PlatformError,
    RepositoryError,
    SetupError,
    TritonFailed,
    TritonUnavailable,
)
from crowdserve.local.precision import has_int8
from crowdserve.local.service import READY_TIMEOUT_SECONDS, EmbeddedService
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve.triton.repository import render_repository
from tests.support.photos import expected_count, gray_photo
from tests.support.versions import told

pytestmark = pytest.mark.e2e


def photo(gray: int) -> bytes:
    return gray_photo(gray, 130, 96)


def people(gray: int, *, route: SceneRoute | None = None, counter: str) -> float:
    """The count of the small networks in `photo`."""
    return expected_count(gray, 130, 96, route=route, counter=counter)


@pytest.fixture
def client(small_service: EmbeddedService) -> Iterator[ServiceClient]:
    with ServiceClient(small_service.http_url, use_proxy=False) as connected:
        yield connected


@pytest.mark.parametrize(("gray", "scene", "network"), [(255, "dense", "csrnet_a"), (51, "sparse", "csrnet_b")])
def test_photo_is_counted_by_the_network_of_its_scene(
    client: ServiceClient, gray: int, scene: str, network: str
) -> None:
    result = client.count(photo(gray), counter="average")
    assert result.count == pytest.approx(people(gray, counter="average"), rel=1e-5)
    assert result.counts == {name: pytest.approx(people(gray, counter=name), rel=1e-5) for name in COUNTERS}
    assert (result.scene, result.route) == (scene, scene)
    assert 0.5 < result.scene_probability <= 1
    assert result.models["vgg16"] == result.models[network] == told()
    assert result.overlay is None
    assert 0 < result.seconds < 60


def test_route_and_overlay_can_be_chosen(client: ServiceClient) -> None:
    result = client.count(photo(255), route="sparse", counter="csrnet", overlay=True)
    assert (result.scene, result.route) == ("dense", "sparse")
    assert result.count == pytest.approx(people(255, route="sparse", counter="csrnet"), rel=1e-5)
    assert result.overlay is not None
    with Image.open(io.BytesIO(result.overlay)) as overlay:
        assert (overlay.format, overlay.size) == ("PNG", (130, 96))


def test_errors_quote_the_service(client: ServiceClient) -> None:
    with pytest.raises(InvalidRequest, match="are a text: send a photo"):
        client.count(b"not a photo")
    with pytest.raises(InvalidRequest, match="route"):
        client.count(photo(0), route="crowded")
    with pytest.raises(ImageTooLarge, match="limit"):
        client.count(bytes(65 << 20))


def test_metrics_and_metadata_urls_answer(small_service: EmbeddedService) -> None:
    for url in (small_service.metrics_url, f"{small_service.http_url}/v2/models/crowdserve"):
        with urllib.request.urlopen(url) as reply:
            assert reply.status == 200
    host, _, port = small_service.grpc_url.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5):
        pass


def test_url_without_a_service_suggests_crowdserve_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        ServiceClient(f"http://127.0.0.1:{port}", use_proxy=False) as client,
        pytest.raises(SetupError, match=f"no service answers at http://127.0.0.1:{port} .*crowdserve up"),
    ):
        client.count(photo(0))
    with pytest.raises(SetupError, match="expected one like http"):
        ServiceClient("127.0.0.1:8080")


def test_other_servers_are_recognised(small_service: EmbeddedService) -> None:
    with (
        ServiceClient(f"http://{small_service.triton.http_url}", use_proxy=False) as client,
        pytest.raises(SetupError, match="no model 'crowdserve' there; check the URL"),
    ):
        client.count(photo(0))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"outputs": [{"name": "count"}]}', b'{"outputs": 3}'])
def test_malformed_reply_is_refused(body: bytes) -> None:
    with pytest.raises(TritonFailed, match="check the URL"):
        decode_reply(body, None)


def test_reply_is_read_with_and_without_the_binary_extension() -> None:
    body, headers = encode_request(b"\x01\x02", {})
    header = (
        b'{"outputs":[{"name":"a","datatype":"FP32","shape":[1],"data":[2.5]},'
        b'{"name":"b","datatype":"BYTES","shape":[1],"data":["x"]}]}'
    )
    assert decode_reply(header, None) == {"a": 2.5, "b": "x"}
    binary = b'{"outputs":[{"name":"a","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}}]}'
    length = int(headers[JSON_LENGTH_HEADER])
    assert decode_reply(binary + body[length:], str(len(binary))) == {"a": b"\x01\x02"}


def test_death_of_triton_stops_the_service(small_repository: Path) -> None:
    with EmbeddedService(small_repository, threads=1) as service:
        pids = service.triton.pid, service.transformer.pid
        os.kill(service.triton.pid, signal.SIGKILL)
        with (
            ServiceClient(service.http_url, use_proxy=False) as client,
            pytest.raises(TritonUnavailable, match="again later"),
        ):
            client.count(photo(0))
        with pytest.raises(PlatformError, match="Triton ended with exit code -9"):
            service.watch()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_missing_classifier_quotes_the_transformer(small_repository: Path, tmp_path: Path) -> None:
    render_repository(small_repository, tmp_path / "repository", "gpu")
    (tmp_path / "repository" / "vgg16" / "1" / "scene_classifier.npz").unlink()
    started = time.monotonic()
    with pytest.raises(PlatformError, match=r"scene_classifier\.npz is missing"):
        EmbeddedService(tmp_path / "repository", threads=1).__enter__()
    assert time.monotonic() - started < READY_TIMEOUT_SECONDS


@pytest.mark.skipif(not has_int8(), reason="this processor is refused for another reason")
def test_a_network_that_is_not_there_in_8_bits_is_named_before_anything_starts(small_repository: Path) -> None:
    message = r"csrnet_a/1/int8\.xml is missing.*--card csrnet_a --format openvino-int8.* or choose precision auto"
    with pytest.raises(RepositoryError, match=message), EmbeddedService(small_repository, precision="int8"):
        pass


def test_service_before_start_reports_not_running(small_repository: Path) -> None:
    service = EmbeddedService(small_repository)
    with pytest.raises(PlatformError, match="not running"):
        _ = service.transformer
    service.stop()
