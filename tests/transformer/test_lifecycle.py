"""A transformer that starts before Triton, survives its restart, and stops without losing a request."""

import asyncio
import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from crowdserve.cards import CARDS
from crowdserve.errors import PlatformError
from crowdserve.local.processes import choose_ports
from crowdserve.local.service import EmbeddedService
from crowdserve.local.triton import EmbeddedTriton
from crowdserve.protocol.headers import POD_HEADER
from crowdserve.triton.repository import render_repository
from tests.support.in_process import INFER, READY, in_process
from tests.support.photos import expected_count, gray_photo
from tests.support.requests import json_body
from tests.support.transformers import StartTransformer
from tests.support.versions import told
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

READY_PATHS = ("/v2/health/ready", "/v2/models/crowdserve/ready", "/v1/models/crowdserve")


def grpc_infer(address: str, photo: bytes) -> tuple[bool, str]:
    """Whether gRPC reports ready, and the status code of an inference."""
    image = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    raw = len(photo).to_bytes(4, "little") + photo
    request = pb.ModelInferRequest(model_name="crowdserve", inputs=[image], raw_input_contents=[raw])
    with grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        ready = [
            stub.ServerReady(pb.ServerReadyRequest(), timeout=60).ready,
            stub.ModelReady(pb.ModelReadyRequest(name="crowdserve"), timeout=60).ready,
        ]
        assert ready[0] == ready[1]
        try:
            stub.ModelInfer(request, timeout=60)
        except grpc.RpcError as err:
            return ready[0], err.code().name
        return ready[0], "OK"


def test_service_follows_triton_down_and_up(
    client: httpx.Client, start_transformer: StartTransformer, small_repository: Path, tmp_path: Path
) -> None:
    render_repository(small_repository, tmp_path / "repository", "embedded")
    (port,) = choose_ports("127.0.0.1", None)

    def status(path: str) -> int:
        return client.get(running.http_url + path).status_code

    def infer() -> httpx.Response:
        return client.post(f"{running.http_url}/v2/models/crowdserve/infer", json=json_body(gray_photo()))

    def check_away() -> None:
        assert [status(path) for path in READY_PATHS] == [503] * 3
        assert (status("/v2/health/live"), status("/v2/models/crowdserve")) == (200, 200)
        assert client.get(running.metrics_url).status_code == 200
        response = infer()
        assert response.status_code == 503
        assert response.json() == {"error": "Triton does not answer; try again later"}
        assert grpc_infer(running.grpc_url, gray_photo()) == (False, "UNAVAILABLE")

    def check_back() -> None:
        wait_for(lambda: status(READY_PATHS[0]) == 200)
        assert [status(path) for path in READY_PATHS] == [200] * 3
        (count,) = (o["data"] for o in infer().json()["outputs"] if o["name"] == "count")
        assert count == pytest.approx([expected_count()], rel=1e-5)
        assert grpc_infer(running.grpc_url, gray_photo()) == (True, "OK")

    with start_transformer(f"127.0.0.1:{port}") as running:
        check_away()
        for _ in range(2):
            with EmbeddedTriton(tmp_path / "repository", http_port=port, threads=1):
                check_back()
            check_away()
        assert "Traceback" not in running.process.log.read_text()


def test_missing_model_makes_the_service_unready_without_failing(small_repository: Path, tmp_path: Path) -> None:
    """A Triton that serves only some of the models, as while a cluster is being set up."""
    render_repository(small_repository, tmp_path / "repository", "embedded")
    for name in ("crowd_dense", "csrnet_a"):
        (tmp_path / "repository" / name).rename(tmp_path / name)

    async def check(triton: str) -> None:
        async with in_process(triton, small_repository) as client:
            assert (await client.get(READY)).status_code == 503
            assert (await client.post(INFER, json=json_body(gray_photo(200)))).status_code == 503
            assert (await client.post(INFER, json=json_body(gray_photo(60)))).status_code == 200

    with EmbeddedTriton(tmp_path / "repository", threads=1) as triton:
        asyncio.run(check(triton.http_url))


def test_versions_match_those_of_triton(small_repository: Path, tmp_path: Path) -> None:
    render_repository(small_repository, tmp_path / "repository", "embedded")
    for name, version in (("csrnet_a", "12"), ("vgg16", "3")):
        (tmp_path / "repository" / name / "1").rename(tmp_path / "repository" / name / version)
    body = json_body(gray_photo(), parameters={"route": "blend", "counter": "average"})

    async def ask(triton: str) -> httpx.Response:
        async with in_process(triton, small_repository) as client:
            return await client.post(INFER, json=body)

    with EmbeddedTriton(tmp_path / "repository", threads=1) as triton:
        response = asyncio.run(ask(triton.http_url))
    (models,) = (json.loads(o["data"][0]) for o in response.json()["outputs"] if o["name"] == "models")
    del models["scene_classifier"]
    assert models == {**dict.fromkeys(CARDS, told()), "vgg16": told(3), "csrnet_a": told(12)}


def in_flight(client: httpx.Client, metrics_url: str) -> int:
    text = client.get(metrics_url).text
    return int(float(text.split("\ncrowdserve_requests_in_flight ")[1].split("\n")[0]))


def test_sigterm_makes_unready_but_serves_until_a_second_one_skips_the_drain(
    client: httpx.Client, small_service: EmbeddedService, start_transformer: StartTransformer
) -> None:
    with start_transformer(small_service.triton.http_url, drain_seconds=600) as running:
        assert client.get(f"{running.http_url}/v2/health/ready").status_code == 200
        os.kill(running.process.pid, signal.SIGTERM)
        wait_for(lambda: client.get(f"{running.http_url}/v2/health/ready").status_code == 503)
        response = client.post(f"{running.http_url}/v2/models/crowdserve/infer", json=json_body(gray_photo()))
        assert response.status_code == 200
        assert grpc_infer(running.grpc_url, gray_photo()) == (False, "OK")
        os.kill(running.process.pid, signal.SIGTERM)
        wait_for(lambda: running.process.exit_code is not None)
        assert running.process.exit_code == 0
        assert "Traceback" not in running.process.log.read_text()


@pytest.mark.parametrize(
    ("settings", "status"), [({"grace_seconds": 120, "drain_seconds": 1}, 200), ({"grace_seconds": 0}, 503)]
)
def test_request_in_flight_is_answered_after_sigterm(
    client: httpx.Client,
    small_service: EmbeddedService,
    start_transformer: StartTransformer,
    settings: dict[str, int],
    status: int,
) -> None:
    with (
        start_transformer(small_service.triton.http_url, **settings) as running,
        httpx.Client(timeout=120, trust_env=False) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = json_body(*[gray_photo(200, 4000, 4000)] * 6, parameters={"route": "dense"}, outputs=[{"name": "count"}])
        answer = pool.submit(other.post, f"{running.http_url}/v2/models/crowdserve/infer", json=slow)
        wait_for(lambda: in_flight(client, running.metrics_url) == 1)
        os.kill(running.process.pid, signal.SIGTERM)
        wait_for(lambda: not _listens(running.http_url))
        assert answer.result().status_code == status, answer.result().text
        assert ("error" in answer.result().json()) is (status == 503)
        wait_for(lambda: running.process.exit_code is not None)
        assert running.process.exit_code == 0


def _listens(url: str) -> bool:
    parsed = httpx.URL(url)
    with socket.socket() as probe:
        return probe.connect_ex((parsed.host, parsed.port)) == 0


def test_sigint_skips_the_drain(small_service: EmbeddedService, start_transformer: StartTransformer) -> None:
    with start_transformer(small_service.triton.http_url, drain_seconds=600) as running:
        os.kill(running.process.pid, signal.SIGINT)
        wait_for(lambda: running.process.exit_code is not None)
        assert running.process.exit_code == 0


@pytest.mark.parametrize("setting", ["http_port", "grpc_port", "metrics_port"])
def test_port_in_use_is_named(
    small_service: EmbeddedService, start_transformer: StartTransformer, setting: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = f"exit code 2.*listen on 127.0.0.1:{port}.*free it or set --{setting}"
        with (
            pytest.raises(PlatformError, match=f"(?s){message}") as caught,
            start_transformer(small_service.triton.http_url, **{setting: port}),
        ):
            pass
        assert "Traceback" not in str(caught.value)


def test_responses_in_kubernetes_name_the_pod(small_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("HOSTNAME", "crowd-predictor-5f7c9-abcde")

    async def ask() -> tuple[httpx.Response, httpx.Response]:
        async with in_process("127.0.0.1:9", small_repository) as client:
            return await client.get("/v2/health/live"), await client.post(INFER, content=b"{")

    live, refused = asyncio.run(ask())
    assert (live.status_code, refused.status_code) == (200, 400)
    assert [each.headers.get(POD_HEADER) for each in (live, refused)] == ["crowd-predictor-5f7c9-abcde"] * 2
