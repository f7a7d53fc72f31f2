"""Health checking: what it says of readiness, of stopping and of unknown services, with gRPC's own client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from crowdserve.local.processes import choose_ports
from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.model import CrowdModel, load_classifier
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.rpc.health import LIVENESS, WATCHERS
from crowdserve_transformer.transport.rpc.server import create_server

SERVICE = "inference.GRPCInferenceService"
HOST = "127.0.0.1"
SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


@pytest.mark.e2e
@pytest.mark.parametrize("compression", list(grpc.Compression))
def test_a_ready_service_says_so(small_service: EmbeddedService, compression: grpc.Compression) -> None:
    with grpc.insecure_channel(small_service.grpc_url, compression=compression) as channel:
        stub = HealthStub(channel)
        for service in ("", SERVICE, LIVENESS):
            request = health_pb2.HealthCheckRequest(service=service)
            assert stub.Check(request, timeout=60).status == SERVING
            assert next(stub.Watch(request, timeout=60)).status == SERVING


@pytest.mark.e2e
def test_an_unknown_service_is_named(small_service: EmbeddedService) -> None:
    request = health_pb2.HealthCheckRequest(service="other" * 100)
    with grpc.insecure_channel(small_service.grpc_url) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            HealthStub(channel).Check(request, timeout=60)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        assert f"known are '', '{SERVICE}', '{LIVENESS}'" in caught.value.details()
        assert len(caught.value.details()) < 300
        assert next(HealthStub(channel).Watch(request, timeout=60)).status == UNKNOWN


@asynccontextmanager
async def running(repository: Path, predictor: str) -> AsyncIterator[tuple[CrowdModel, Any]]:
    """A transformer's gRPC server in this process, and gRPC's client of its health."""
    _, port, _ = choose_ports(HOST, None, None, None)
    settings = Settings(host=HOST, grpc_port=port, predictor_host=predictor, repository=repository)
    model = CrowdModel(settings, load_classifier(settings))
    server = create_server(CrowdDataPlane(model))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
            yield model, HealthStub(channel)
    finally:
        await server.stop(0)
        await model.close()


def run(repository: Path, work: Callable[[CrowdModel, Any], Awaitable[None]], predictor: str = f"{HOST}:9") -> None:
    async def whole() -> None:
        async with running(repository, predictor) as (model, stub):
            await work(model, stub)

    asyncio.run(whole())


def test_without_triton_only_liveness_is_healthy(small_repository: Path) -> None:
    async def work(_: CrowdModel, stub: Any) -> None:
        for service, status in (("", NOT_SERVING), (SERVICE, NOT_SERVING), (LIVENESS, SERVING)):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
            assert answer.status == status

    run(small_repository, work)


@pytest.mark.e2e
def test_watchers_are_told_of_the_stop_and_let_go(small_service: EmbeddedService, small_repository: Path) -> None:
    async def work(model: CrowdModel, stub: Any) -> None:
        calls = [stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30) for _ in range(3)]
        assert [(await call.read()).status for call in calls] == [SERVING] * 3
        model.draining = True
        assert [(await call.read()).status for call in calls] == [NOT_SERVING] * 3
        assert [await call.read() for call in calls] == [grpc.aio.EOF] * 3

    run(small_repository, work, small_service.triton.http_url)


def test_watchers_are_few_and_make_room_when_they_leave(small_repository: Path) -> None:
    async def work(_: CrowdModel, stub: Any) -> None:
        request = health_pb2.HealthCheckRequest(service=LIVENESS)
        calls = [stub.Watch(request, timeout=30) for _ in range(WATCHERS)]
        for call in calls:
            assert (await call.read()).status == SERVING
        with pytest.raises(grpc.RpcError) as caught:
            await stub.Watch(request, timeout=30).read()
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.Check(request, timeout=30)).status == SERVING
        calls[0].cancel()
        for _attempt in range(50):
            await asyncio.sleep(0.05)
            try:
                assert (await stub.Watch(request, timeout=30).read()).status == SERVING
            except grpc.RpcError:
                continue
            return
        pytest.fail("no room after a watcher left")

    run(small_repository, work)
