"""Connections to a server that may answer anything, on both event loops."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import uvloop

from crowdserve.triton import connections as connections_module
from crowdserve.triton.connections import ConnectFailed, TritonConnections
from crowdserve.triton.exchange import MAX_HEAD_BYTES, ConnectionEnded, NoReply, Reply, ReplyNotHttp, ReplyTooLong

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MOST = 1000

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Work = Callable[[TritonConnections], Awaitable[Any]]


class Server:
    """Answers every request with the same bytes, and counts the connections to it.

    Args:
        answer: What it sends.
        closes: Whether it closes the connection then.
    """

    def __init__(self, answer: bytes, *, closes: bool = False) -> None:
        self._answer = answer
        self._closes = closes
        self.connections = 0
        self.heads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(self._answer)
                await writer.drain()
                if self._closes:
                    break


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs some work with connections to a server, and closes both."""

    async def main(serve: Serve, work: Work, options: dict[str, Any]) -> Any:
        served: list[asyncio.Task[None]] = []

        async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(asyncio.current_task())  # type: ignore[arg-type]
            await serve(reader, writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

        async with await asyncio.start_server(on_connection, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            connections = TritonConnections(
                f"127.0.0.1:{port}", **{"timeout_seconds": 20.0, "use_ssl": False, **options}
            )
            try:
                return await work(connections)
            finally:
                await connections.close()
                server.close()
                await asyncio.wait_for(asyncio.gather(*served), 20)

    def run(serve: Serve, work: Work, **options: Any) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(main(serve, work, options))

    return run


async def get(connections: TritonConnections) -> Reply:
    return await connections.get("/x", max_bytes=MOST)


async def get_thrice(connections: TritonConnections) -> list[bytes]:
    return [(await get(connections)).body for _ in range(3)]


def test_requests_in_turn_take_one_connection(run: Callable[..., Any]) -> None:
    server = Server(OK)
    assert run(server, get_thrice) == [b"ok"] * 3
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        pytest.param(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), False, id="is told to close"),
        pytest.param(OK.replace(b"1.1", b"1.0"), False, id="HTTP/1.0"),
        pytest.param(OK + b"more", False, id="bytes behind the reply"),
        pytest.param(OK + OK, False, id="two replies"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nok", True, id="ends with the connection"),
    ],
)
def test_connection_that_has_ended_is_not_used_again(run: Callable[..., Any], answer: bytes, closes: bool) -> None:
    server = Server(answer, closes=closes)
    assert run(server, get_thrice) == [b"ok"] * 3
    assert server.connections == 3


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok", id="continue first"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="no body"),
        pytest.param(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503, b"", id="empty body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
            200,
            b"ok",
            id="chunks",
        ),
    ],
)
def test_reply_is_read_in_every_form(run: Callable[..., Any], answer: bytes, status: int, body: bytes) -> None:
    server = Server(answer)

    async def work(connections: TritonConnections) -> list[Reply]:
        return [await get(connections) for _ in range(2)]

    assert [(reply.status, reply.body) for reply in run(server, work)] == [(status, body)] * 2
    assert server.connections == 1


def test_reply_that_comes_byte_by_byte_is_whole(run: Callable[..., Any]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in OK:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    reply = run(serve, get)
    assert reply.body == b"ok"
    assert reply.headers == {"content-length": "2"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(b"SSH-2.0\r\n", ReplyNotHttp, id="another protocol"),
        pytest.param(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", ReplyNotHttp, id="upgrade"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", ReplyNotHttp, id="lengths"),
        pytest.param(b"", NoReply, id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno", ConnectionEnded, id="part"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(MOST + 1), ReplyTooLong, id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 2 * MAX_HEAD_BYTES, ReplyTooLong, id="header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * MAX_HEAD_BYTES, ReplyTooLong, id="headers"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * MAX_HEAD_BYTES, ReplyTooLong, id="never begins"),
    ],
)
def test_what_is_no_reply_is_an_error_and_ends_the_connection(
    run: Callable[..., Any], answer: bytes, expected: type[Exception]
) -> None:
    async def work(connections: TritonConnections) -> type[Exception] | None:
        try:
            await get(connections)
        except Exception as err:
            assert not connections._idle
            return type(err)
        return None

    assert run(Server(answer, closes=True), work) is expected


def test_reply_before_the_request_is_sent_is_taken_and_ends_the_connection(run: Callable[..., Any]) -> None:
    connected = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(True)
        await reader.read(1)
        writer.write(OK)
        await asyncio.sleep(0.05)
        with suppress(ConnectionError):
            while await reader.read(2**20):
                pass

    async def work(connections: TritonConnections) -> list[bytes]:
        parts = [bytes(2**20)] * 32
        return [(await connections.post("/x", parts, {}, max_bytes=MOST)).body for _ in range(2)]

    assert run(serve, work) == [b"ok"] * 2
    assert len(connected) == 2


def test_body_is_its_parts_in_turn_behind_the_headers(run: Callable[..., Any]) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend([await reader.readuntil(b"\r\n\r\n"), await reader.readexactly(7)])
        writer.write(OK)

    parts = [b"one", memoryview(b"two"), b"!"]
    run(serve, lambda connections: connections.post("/x", parts, {"x-id": "7"}, max_bytes=MOST))
    head, body = received
    assert head.startswith(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nx-id: 7\r\nContent-Length: 7\r\n\r\n" in head
    assert body == b"onetwo!"


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\0b"])
def test_header_of_several_lines_is_never_sent(run: Callable[..., Any], value: str) -> None:
    server = Server(OK)
    with pytest.raises(ValueError, match="several lines"):
        run(server, lambda connections: connections.post("/x", [], {"x-id": value}, max_bytes=MOST))
    assert not server.heads


def test_old_connection_is_not_used(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "_IDLE_SECONDS", 0.0)
    server = Server(OK)
    run(server, get_thrice)
    assert server.connections == 3


def test_request_that_is_given_up_closes_its_connection(run: Callable[..., Any]) -> None:
    ended = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(2**16):
                pass
        ended.append(True)

    async def work(connections: TritonConnections) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(get(connections), 0.1)
        async with asyncio.timeout(20):
            while not ended:
                await asyncio.sleep(0.01)

    run(serve, work)


@pytest.mark.parametrize(
    ("begun", "expected"),
    [(b"", NoReply), (b"HTTP/1.1 200 OK\r\n\r\npart", ConnectionEnded)],
    ids=["no reply", "a reply without a length"],
)
def test_request_under_way_ends_with_the_connections(
    run: Callable[..., Any], begun: bytes, expected: type[Exception]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(begun)
        while await reader.read(2**16):
            pass

    async def work(connections: TritonConnections) -> type[Exception] | None:
        asking = asyncio.create_task(get(connections))
        await asyncio.sleep(0.2)
        await connections.close()
        (found,) = await asyncio.gather(asking, return_exceptions=True)
        return type(found)

    assert run(serve, work) is expected


def test_server_that_takes_no_part_in_tls_gives_no_connection(run: Callable[..., Any]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(ConnectFailed):
        run(serve, get, timeout_seconds=0.2, use_ssl=True)
