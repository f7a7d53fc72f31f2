"""What hostile clients do, over plain sockets, and what it costs the process that they do it to."""

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.photos import gray_photo
from tests.support.requests import TIMEOUT_SECONDS, json_body

PATH = "/v2/models/crowdserve/infer"
SECONDS_BETWEEN_LOOKS = 0.02


def connect(url: str) -> socket.socket:
    """A connection to the address of a URL, or to HOST:PORT."""
    address = httpx.URL(url if "//" in url else f"http://{url}")
    return socket.create_connection((address.host, address.port or 80), timeout=TIMEOUT_SECONDS)


def head(path: str = PATH, *headers: str, method: str = "POST") -> bytes:
    """A request line and headers."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode("latin-1")


def said(url: str, *pieces: bytes, close: bool = False) -> bytes:
    """All that the service says to these bytes until it closes the connection, or for a second after that."""
    with connect(url) as connection:
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
        return heard(connection)


def heard(connection: socket.socket, seconds: float = TIMEOUT_SECONDS) -> bytes:
    """All that is said on a connection until the first answer is whole, or the connection closed."""
    answer = b""
    connection.settimeout(seconds)
    with suppress(ConnectionError, TimeoutError):
        while not _is_whole(answer):
            received = connection.recv(1 << 16)
            if not received:
                break
            answer += received
    return answer


def _is_whole(answer: bytes) -> bool:
    first, separator, body = answer.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in first.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return bool(separator and lengths) and len(body) >= int(lengths[0])


def status_of(answer: bytes) -> int:
    """The status of an answer; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def error_of(answer: bytes) -> str:
    """The text of an error."""
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["error"])


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@dataclass
class Watch:
    """What a service looks like during an attack.

    Attributes:
        gap_seconds: Longest time that it took to say that it is alive.
        grown_bytes: How much its resident memory grew at the most.
    """

    gap_seconds: float = 0.0
    grown_bytes: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def watched(url: str, pid: int) -> Iterator[Watch]:
    """Ask a service every 20 ms whether it is alive, and look at its memory, while the block runs."""
    watch, ended, before = Watch(), threading.Event(), rss_bytes(pid)

    def look() -> None:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            while not ended.wait(SECONDS_BETWEEN_LOOKS):
                start = time.monotonic()
                try:
                    status = client.get(f"{url}/v2/health/live").status_code
                except httpx.TransportError as err:
                    watch.failures.append(repr(err))
                else:
                    if status != 200:
                        watch.failures.append(str(status))
                watch.gap_seconds = max(watch.gap_seconds, time.monotonic() - start)
                watch.grown_bytes = max(watch.grown_bytes, rss_bytes(pid) - before)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()


def seconds_of_photo(url: str, photo: bytes | None = None) -> float:
    """How long an ordinary photo takes on a connection of its own; fails unless it is counted."""
    start = time.monotonic()
    body = json_body(photo or gray_photo())
    response = httpx.post(url + PATH, json=body, timeout=TIMEOUT_SECONDS, trust_env=False)
    assert response.status_code == 200, response.text
    return time.monotonic() - start


def json_request(data: bytes, datatype: str = "BYTES", shape: Sequence[int] = (1,)) -> bytes:
    """A v2 request whose `data` is this text."""
    start = json.dumps({"inputs": [{"name": "image", "datatype": datatype, "shape": list(shape)}]}).encode()[:-3]
    return start + b',"data":' + data + b"}]}"


def post(url: str, body: bytes, path: str = PATH, **headers: str) -> httpx.Response:
    """The answer to a body."""
    return httpx.post(url + path, content=body, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)


def base64_of(file: bytes) -> bytes:
    """A file inside JSON."""
    return b'"' + base64.b64encode(file) + b'"'


@contextmanager
def connections(url: str, number: int, *pieces: bytes) -> Iterator[list[socket.socket]]:
    """So many connections on which this has been sent, as far as they took it."""
    with ExitStack() as stack:
        opened = [stack.enter_context(connect(url)) for _ in range(number)]
        for connection in opened:
            with suppress(ConnectionError):
                for piece in pieces:
                    connection.sendall(piece)
        yield opened
