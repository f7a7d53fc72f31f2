"""Requests byte by byte, also those that no library would send, and what the service says to them."""

import re
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

WAIT_SECONDS = 60.0
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Reply:
    """The beginning of an answer.

    Attributes:
        status: The HTTP status; "closed" or "silent" if there was none.
        retry_after: Whether the header Retry-After came with it.
    """

    status: str
    retry_after: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service listens."""

    host: str
    http_port: int
    grpc_port: int
    model: str = field(default="crowdserve")

    @property
    def infer_path(self) -> str:
        """The path of v2 inference."""
        return f"/v2/models/{self.model}/infer"

    @property
    def predict_path(self) -> str:
        """The path of v1 inference."""
        return f"/v1/models/{self.model}:predict"


def post(address: Address, path: str, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> Reply:
    """Send a whole POST and read its answer."""
    return exchange(address, head(path, [("Content-Length", str(len(body))), *headers]) + body)


def head(path: str, headers: Iterable[tuple[str, str]], method: str = "POST") -> bytes:
    """The request line and the headers."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: soak",
        "Connection: close",
        *(f"{name}: {text}" for name, text in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def exchange(address: Address, *pieces: bytes, pause_seconds: float = 0.0, wait_seconds: float = WAIT_SECONDS) -> Reply:
    """Send some bytes, with a pause after each piece, and read an answer."""
    try:
        with socket.create_connection((address.host, address.http_port), timeout=wait_seconds) as connection:
            return converse(connection, pieces, pause_seconds)
    except OSError:
        return Reply("closed")


def converse(connection: socket.socket, pieces: Iterable[bytes], pause_seconds: float = 0.0) -> Reply:
    """Send some bytes through an open connection, and read an answer."""
    with suppress(OSError):  # the service may answer and close before everything is sent
        for piece in pieces:
            connection.sendall(piece)
            if pause_seconds:
                time.sleep(pause_seconds)
    return read_reply(connection)


def read_reply(connection: socket.socket) -> Reply:
    """The status line and the headers that come through a connection, after those that only say "go on"."""
    received = b""
    try:
        while b"\r\n\r\n" not in received and len(received) < _HEAD_BYTES:
            more = connection.recv(4096)
            if not more:
                break
            received += more
            if received.startswith(b"HTTP/1.1 100"):
                received = received.partition(b"\r\n\r\n")[2]
    except TimeoutError:
        return Reply("silent")
    except OSError:
        pass
    found = re.match(rb"HTTP/1\.[01] (\d{3})", received)
    if found is None:
        return Reply("closed")
    return Reply(found[1].decode(), b"\r\nretry-after:" in received.lower())
