"""Photos reach a real Triton by memory, and by its socket wherever that cannot be."""

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from crowdserve.cards import ENSEMBLES, VGG16
from crowdserve.local.service import EmbeddedService
from crowdserve.triton.client import TritonClient
from crowdserve_transformer.inference.shared_memory import FOLDER, LEAST_BYTES, PLACE_BYTES, SharedMemory

pytestmark = pytest.mark.e2e

DENSE = ENSEMBLES["dense"]
DENSITY = DENSE.output_name(DENSE.members[0], DENSE.members[0].outputs[0])
SERVICE = "/inference.GRPCInferenceService"
Use = Callable[[TritonClient, list[int]], Awaitable[Any]]


def photo(gray: int, height: int = 256, width: int = 512) -> np.ndarray:
    """Over the least size that goes by memory."""
    return np.full((1, height, width, 3), gray, np.uint8)


async def density(client: TritonClient, image: np.ndarray) -> float:
    return float((await client.infer(DENSE.name, {"image": image}, [DENSITY])).tensors[DENSITY].mean()) * 255


def call(socket: str, method: str) -> bytes:
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        return bytes(channel.unary_unary(f"{SERVICE}/{method}")(b"", timeout=60))


@asynccontextmanager
async def relay(to: str) -> AsyncIterator[tuple[str, list[int]]]:
    """A socket before another, and the lengths of what was sent to it."""
    lengths: list[int] = []
    served: list[asyncio.Task[None]] = []

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[int]) -> None:
        while data := await reader.read(1 << 16):
            seen.append(len(data))
            writer.write(data)
            await writer.drain()
        writer.close()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())  # type: ignore[arg-type]
        behind_reader, behind_writer = await asyncio.open_connection(*to.split(":"))
        try:
            with suppress(ConnectionError):
                await asyncio.gather(passed_on(reader, behind_writer, lengths), passed_on(behind_reader, writer, []))
        finally:
            for each in (writer, behind_writer):
                each.close()
                with suppress(ConnectionError):
                    await each.wait_closed()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    async with server:
        try:
            yield "{}:{}".format(*server.sockets[0].getsockname()), lengths
        finally:
            await asyncio.wait_for(asyncio.gather(*served), 30)  # the client has closed its connections


@contextmanager
def waiting_networks(triton_pid: int) -> Iterator[None]:
    """No network gets its turn on the cores while the block runs."""
    variables = Path(f"/proc/{triton_pid}/environ").read_text().split("\0")
    turns = next(each.partition("=")[2] for each in variables if each.startswith("CROWDSERVE_TRITON_TURNS="))
    queue = os.open(f"{turns}-queue", os.O_RDWR)
    try:
        fcntl.flock(queue, fcntl.LOCK_EX)
        yield
    finally:
        os.close(queue)  # and unlock it


@pytest.fixture
def use(small_service: EmbeddedService) -> Callable[..., Any]:
    """Runs something with a client that shares memory with Triton; the client and what it sends are given to it."""

    def run(work: Use, places: int = 2, socket: str = "", folder: Path = FOLDER) -> Any:
        async def running() -> Any:
            memory = SharedMemory(socket or small_service.triton.memory_socket, places, folder)
            async with relay(small_service.triton.http_url) as (address, lengths):
                client = TritonClient(address, memory=memory)
                try:
                    return await work(client, lengths)
                finally:
                    await client.close()

        return asyncio.run(running())

    return run


def names() -> set[str]:
    return {path.name for path in FOLDER.glob("crowdserve-*") if len(path.name) == len("crowdserve-") + 32}


def test_a_photo_goes_by_memory(use: Callable[..., Any], small_service: EmbeddedService) -> None:
    async def work(client: TritonClient, lengths: list[int]) -> tuple[float, float, int, bytes]:
        first, second = await density(client, photo(51)), await density(client, photo(102))
        status = await asyncio.to_thread(call, small_service.triton.memory_socket, "SystemSharedMemoryStatus")
        return first, second, sum(lengths), status

    before = names()
    first, second, sent_bytes, status = use(work)
    assert (first, second) == pytest.approx((51, 102), rel=1e-5)
    assert sent_bytes < 4096
    assert b"crowdserve-" in status
    assert names() <= before  # the file has no name any more
    assert b"crowdserve-" not in call(small_service.triton.memory_socket, "SystemSharedMemoryStatus")


def test_scene_classifiers_input_goes_by_memory(use: Callable[..., Any]) -> None:
    image = photo(51, *VGG16.input.axes[:2])

    async def work(client: TritonClient, lengths: list[int]) -> tuple[float, int]:
        features = VGG16.outputs[0].name
        answer = await client.infer(VGG16.name, {VGG16.input.name: image}, [features])
        return float(answer.tensors[features].mean()), sum(lengths)

    found, sent_bytes = use(work)
    assert found == pytest.approx(51 / 255, rel=1e-5)
    assert sent_bytes < 4096


@pytest.mark.parametrize("side", [(64, 64), (1152, 2048)], ids=["small", "large"])
def test_small_and_large_photos_are_sent(use: Callable[..., Any], side: tuple[int, int]) -> None:
    image = photo(51, *side)
    assert not LEAST_BYTES <= image.nbytes <= PLACE_BYTES

    async def work(client: TritonClient, lengths: list[int]) -> tuple[float, int]:
        return await density(client, image), sum(lengths)

    found, sent_bytes = use(work)
    assert found == pytest.approx(51, rel=1e-5)
    assert sent_bytes > image.nbytes


def test_photos_that_find_no_place_are_sent_and_none_gets_the_pixels_of_another(use: Callable[..., Any]) -> None:
    async def work(client: TritonClient, lengths: list[int]) -> tuple[list[float], int]:
        await density(client, photo(0))
        return await asyncio.gather(*(density(client, photo(value)) for value in range(30))), sum(lengths)

    found, sent_bytes = use(work)
    assert found == pytest.approx(list(range(30)), rel=1e-5)
    assert 20 * photo(0).nbytes < sent_bytes < 29 * photo(0).nbytes


def test_a_place_is_taken_again_while_triton_is_to_read_it_for_a_photo_that_was_given_up(
    use: Callable[..., Any], small_service: EmbeddedService
) -> None:
    """It waits in Triton behind the first photo, so its place has other pixels when it is read."""
    triton = small_service.triton

    async def work(client: TritonClient, lengths: list[int]) -> tuple[list[float], int]:
        await density(client, photo(0))
        with waiting_networks(triton.pid):
            first, given_up = (asyncio.create_task(density(client, photo(value))) for value in (10, 20))
            await asyncio.sleep(0.3)
            given_up.cancel()
            await asyncio.wait([given_up])
            last = asyncio.create_task(density(client, photo(200)))
            await asyncio.sleep(0.1)
            with pytest.raises(grpc.RpcError, match="Failed to unregister"):  # Triton would read what is not there
                await asyncio.to_thread(call, triton.memory_socket, "SystemSharedMemoryUnregister")
        found = [await first, await last]
        return [*found, *[await density(client, photo(value)) for value in range(30, 34)]], sum(lengths)

    found, sent_bytes = use(work)
    assert found == pytest.approx([10, 200, *range(30, 34)], rel=1e-5)
    assert sent_bytes < 8192  # all went by memory, in two places


def test_late_news_of_memory_that_is_gone_does_not_end_what_is_shared_since(small_service: EmbeddedService) -> None:
    async def regions() -> list[str]:
        memory, found = SharedMemory(small_service.triton.memory_socket, 1), []
        for lost in (0, 0, None):
            await memory.open()
            with memory.placed(photo(0)) as place:
                assert place is not None
                found.append(place.region)
            if lost is not None:
                memory.forget(found[lost])
        await memory.close()
        return found

    first, second, third = asyncio.run(regions())
    assert first != second == third


def test_a_triton_that_does_not_know_the_memory_gets_it_anew(
    use: Callable[..., Any], small_service: EmbeddedService
) -> None:
    """As one does that was started anew."""

    async def work(client: TritonClient, lengths: list[int]) -> tuple[list[float], list[int]]:
        found, sent = [await density(client, photo(10))], [sum(lengths)]
        await asyncio.to_thread(call, small_service.triton.memory_socket, "SystemSharedMemoryUnregister")
        for value in (20, 30):
            found.append(await density(client, photo(value)))
            sent.append(sum(lengths) - sum(sent))
        return found, sent

    found, sent = use(work)
    assert found == pytest.approx([10, 20, 30], rel=1e-5)
    assert [size > photo(0).nbytes for size in sent] == [False, True, False]


@pytest.mark.parametrize("fault", ["no socket", "no memory"])
def test_without_memory_photos_are_sent(
    use: Callable[..., Any], fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(client: TritonClient, lengths: list[int]) -> list[float]:
        return [await density(client, photo(value)) for value in (51, 52)]

    found = use(work, **({"socket": str(tmp_path / "none")} if fault == "no socket" else {"places": 1_000_000}))
    assert found == pytest.approx([51, 52], rel=1e-5)
    assert [record.levelname for record in caplog.records if "memory cannot be shared" in record.message] == ["WARNING"]


def test_the_socket_is_private_and_has_nothing_but_shared_memory(small_service: EmbeddedService) -> None:
    socket = Path(small_service.triton.memory_socket)
    assert socket.is_socket()
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert socket.parent.stat().st_uid == os.geteuid()
    call(str(socket), "SystemSharedMemoryStatus")
    closed = "ServerMetadata ModelMetadata ModelConfig ModelStatistics ModelInfer RepositoryIndex RepositoryModelLoad"
    for method in [*closed.split(), "RepositoryModelUnload", "TraceSetting", "LogSettings"]:
        with pytest.raises(grpc.RpcError, match="restricted"):
            call(str(socket), method)
