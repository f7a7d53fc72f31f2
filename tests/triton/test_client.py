import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
import pytest

from crowdserve.cards import ENSEMBLES, VGG16
from crowdserve.errors import TritonAway, TritonFailed, TritonUnavailable
from crowdserve.local.processes import choose_ports
from crowdserve.local.service import EmbeddedService
from crowdserve.triton.client import TritonClient

DENSE = ENSEMBLES["dense"]
DENSITY = DENSE.output_name(DENSE.members[0], DENSE.members[0].outputs[0])
COUNT = DENSE.output_name(DENSE.members[0], DENSE.members[0].outputs[1])
GRAY = np.full((2, 64, 96, 3), 51, np.uint8)

e2e = pytest.mark.e2e
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Use = Callable[[TritonClient], Awaitable[Any]]


def use(address: str, work: Use, **options: float) -> Any:
    async def run() -> Any:
        client = TritonClient(address, **options)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def address(small_service: EmbeddedService) -> str:
    return small_service.triton.http_url


@e2e
class TestAnswers:
    def test_requested_outputs_are_returned(self, address: str) -> None:
        answer = use(address, lambda c: c.infer(DENSE.name, {"image": GRAY}, [DENSITY], request_id="7"))
        assert set(answer.tensors) == {DENSITY}
        assert answer.version == "1"
        np.testing.assert_allclose(answer.tensors[DENSITY], np.full((2, 8, 12), 0.2), rtol=1e-5)

    def test_several_outputs_are_returned(self, address: str) -> None:
        answer = use(address, lambda c: c.infer(DENSE.name, {"image": GRAY}, [COUNT, DENSITY]))
        np.testing.assert_allclose(answer.tensors[COUNT], answer.tensors[DENSITY].sum((1, 2))[:, None], rtol=1e-5)

    def test_view_of_a_larger_image_is_sent_correctly(self, address: str) -> None:
        picture = np.zeros((2, 64, 200, 3), np.uint8)
        picture[:, :, ::2] = 51
        view = picture[:, :, :192:2]
        answer = use(address, lambda c: c.infer(DENSE.name, {"image": view}, [DENSITY]))
        np.testing.assert_allclose(answer.tensors[DENSITY], np.full((2, 8, 12), 0.2), rtol=1e-5)

    def test_concurrent_calls(self, address: str) -> None:
        async def work(client: TritonClient) -> list[Any]:
            pictures = [np.full((1, 64, 64, 3), value, np.uint8) for value in range(40)]
            return await asyncio.gather(*(client.infer(DENSE.name, {"image": p}, [DENSITY]) for p in pictures))

        found = [float(answer.tensors[DENSITY].mean()) for answer in use(address, work)]
        assert found == pytest.approx([value / 255 for value in range(40)], rel=1e-5)

    def test_closed_client_reopens(self, address: str) -> None:
        async def work(client: TritonClient) -> str:
            await client.latest_version(DENSE.name)
            await client.close()
            await client.close()
            return await client.latest_version(DENSE.name)

        assert use(address, work) == "1"

    def test_readiness(self, address: str) -> None:
        use(address, lambda c: c.require_ready([VGG16.name, DENSE.name]))
        with pytest.raises(TritonUnavailable, match=r"^not ready: abacus; try again later$"):
            use(address, lambda c: c.require_ready([VGG16.name, "abacus"]))


@e2e
class TestErrors:
    def test_missing_model_is_unavailable(self, address: str) -> None:
        with pytest.raises(TritonAway, match="not loaded a model"):
            use(address, lambda c: c.infer("abacus", {"image": GRAY}, [DENSITY]))
        with pytest.raises(TritonAway, match="not loaded a model"):
            use(address, lambda c: c.latest_version("abacus"))

    @pytest.mark.parametrize(
        ("tensors", "outputs"),
        [
            ({"image": GRAY[..., :2]}, [DENSITY]),
            ({"image": GRAY.astype(np.float32)}, [DENSITY]),
            ({"picture": GRAY}, [DENSITY]),
            ({"image": GRAY}, ["people"]),
            ({"image": GRAY[:, :63]}, [DENSITY]),
        ],
    )
    def test_request_refused_by_triton_fails_without_its_message(
        self, address: str, tensors: dict[str, np.ndarray], outputs: list[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(TritonFailed, match=f"^Triton could not run {DENSE.name}$"):
            use(address, lambda c: c.infer(DENSE.name, tensors, outputs))
        assert f"run {DENSE.name}: Triton answered" in caplog.text


class TestUnreachable:
    def check(self, address: str, **options: float) -> float:
        start = time.monotonic()
        with pytest.raises(TritonAway, match=r"^Triton does not answer; try again later$"):
            use(address, lambda c: c.infer(DENSE.name, {"image": GRAY}, [DENSITY]), **options)
        with pytest.raises(TritonUnavailable, match=f"^not ready: Triton, {VGG16.name}; try"):
            use(address, lambda c: c.require_ready([VGG16.name]), ready_timeout_seconds=0.5, **options)
        return time.monotonic() - start

    def test_closed_port_is_unavailable(self) -> None:
        self.check(f"127.0.0.1:{choose_ports('127.0.0.1', None)[0]}")

    def test_unknown_host_is_unavailable(self) -> None:
        self.check("triton.invalid:8000")

    @pytest.mark.parametrize("reply", [b"", b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno"])
    def test_other_server_is_unavailable(self, reply: bytes) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(reply)

        with pytest.raises(TritonUnavailable):
            asyncio.run(infer_through(serve))

    def test_silent_server_times_out(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while await reader.read(65536):
                    pass

        start = time.monotonic()
        with pytest.raises(TritonUnavailable) as caught:
            asyncio.run(infer_through(serve, timeout_seconds=0.5))
        assert not isinstance(caught.value, TritonAway)  # it may still be at work
        assert time.monotonic() - start < 10


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    """A server whose connections are all closed when the block ends."""
    connections: list[asyncio.Task[None]] = []

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*connections), 30)


async def infer_through(serve: Serve, calls: int = 1, **options: float) -> list[Any]:
    async with listening(serve) as address:
        client = TritonClient(address, **options)
        try:
            return [await client.infer(DENSE.name, {"image": GRAY}, [DENSITY]) for _ in range(calls)]
        finally:
            await client.close()


@e2e
def test_stale_connection_is_replaced_and_compression_is_not_requested(address: str) -> None:
    """A load balancer between client and Triton silently closes the connection on every second request."""
    sent: list[bytes] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(*address.split(":"))
        head = await reader.readuntil(b"\r\n\r\n")
        sent.append(head)
        length = int(head.lower().split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        behind_writer.write(head + await reader.readexactly(length))
        reply = await behind_reader.readuntil(b"\r\n\r\n")
        length = int(reply.lower().split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        writer.write(reply + await behind_reader.readexactly(length))
        await writer.drain()
        await reader.read(1)
        behind_writer.close()
        await behind_writer.wait_closed()

    answers = asyncio.run(infer_through(relay, calls=3))
    assert [float(a.tensors[DENSITY].mean()) for a in answers] == pytest.approx([0.2] * 3, rel=1e-5)
    assert len(sent) == 3
    assert all(b"accept-encoding: identity" in head.lower() for head in sent)
