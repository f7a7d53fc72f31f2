"""Connections to the gRPC port: clients that say nothing take no more of them than there may be."""

import asyncio
from pathlib import Path

import grpc

from crowdserve.local.processes import choose_ports
from crowdserve_transformer.model import CrowdModel, load_classifier
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.rpc.server import create_server

HOST = "127.0.0.1"
MOST = 3
BEGINNING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""The preface of HTTP/2 and empty settings."""


async def connected(port: int) -> tuple[bool, asyncio.StreamWriter]:
    """Open a connection; whether the server speaks on it instead of closing it."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(BEGINNING)
    try:
        return bool(await asyncio.wait_for(reader.read(1), 60)), writer
    except ConnectionError:
        return False, writer


async def calls_are_answered(port: int) -> bool:
    async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=30)
        code = await call.code()
        assert code in {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        return code is grpc.StatusCode.OK


def test_further_connections_are_closed_until_one_has_ended(small_repository: Path) -> None:
    async def scenario(port: int) -> None:
        opened = [await connected(port) for _ in range(MOST + 2)]
        assert [answered for answered, _ in opened] == [True] * MOST + [False] * 2
        assert not await calls_are_answered(port)
        for _, writer in opened:
            writer.close()
        async with asyncio.timeout(60):
            while not await calls_are_answered(port):
                await asyncio.sleep(0.02)

    async def main() -> None:
        _, port, _ = choose_ports(HOST, None, None, None)
        settings = Settings(
            host=HOST, grpc_port=port, predictor_host=f"{HOST}:9", repository=small_repository, max_connections=MOST
        )
        model = CrowdModel(settings, load_classifier(settings))
        server = create_server(CrowdDataPlane(model))
        await server.start()
        try:
            await scenario(port)
        finally:
            await server.stop(0)
            await model.close()

    asyncio.run(main())
