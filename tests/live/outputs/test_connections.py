"""Clients of the watcher's port that are slow or silent."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from crowdserve.errors import SetupError
from crowdserve.live.board import Board
from crowdserve.live.outputs import connections
from crowdserve.live.outputs.server import serving_metrics
from tests.support.waiting import wait_for

SECONDS = 0.5
LONG_BYTES = 32 * 2**20


class Long:
    """A page that is more than the buffers of a connection hold."""

    def __init__(self) -> None:
        self.routes: list[BaseRoute] = [Route("/long", self._answer)]

    async def __aenter__(self) -> "Long":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open."""

    async def _answer(self, request: Request) -> Response:
        return Response(bytes(LONG_BYTES))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "HEAD_SECONDS", SECONDS)
        patch.setattr(connections, "PACE_SECONDS", SECONDS)
        with serving_metrics(Board(), {}, "127.0.0.1", 0, Long()) as served:
            assert served is not None
            yield served


def is_served(connection: socket.socket) -> bool:
    """Whether a process has the server's end of a connection open."""
    port = connection.getsockname()[1]
    rows = (row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(int(row[2].rpartition(":")[2], 16) == port and row[9] != "0" for row in rows)  # no file: closed


def read_to_the_end(connection: socket.socket) -> int:
    size = 0
    try:
        while piece := connection.recv(2**20):
            size += len(piece)
    except ConnectionResetError:
        pass
    return size


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HT", b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: 1"])
def test_a_head_that_does_not_come(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        started = time.monotonic()
        connection.sendall(sent)
        assert read_to_the_end(connection) == 0
        assert time.monotonic() - started > SECONDS * 0.9


def test_a_head_that_drips(port: int) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, suppress(OSError):
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        while time.monotonic() - started < 100 * SECONDS:
            connection.sendall(b"X: 1\r\n")
            time.sleep(0.02)
    assert SECONDS * 0.9 < time.monotonic() - started < 80 * SECONDS


def test_an_answer_that_nobody_takes(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(1)
        wait_for(lambda: not is_served(connection))
        assert read_to_the_end(connection) < LONG_BYTES - 1


def test_an_answer_that_is_taken_slowly(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET /long HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        started, size = time.monotonic(), 0
        while time.monotonic() - started < 2 * SECONDS:
            size += len(connection.recv(2**18))
            time.sleep(0.01)
        assert size + read_to_the_end(connection) > LONG_BYTES


def test_a_host_that_is_another_machine_s_and_a_port_that_is_taken_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for host, remedy in (
            ("192.0.2.1", "no address of this machine; set metrics_host"),
            ("127.0.0.1", "set metrics_port"),
        ):
            with pytest.raises(SetupError, match=remedy), serving_metrics(Board(), {}, host, port):
                pass
