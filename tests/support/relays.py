"""A relay in front of a real Triton, which a test tells what to do to the replies of one model."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from crowdserve.network import join_address

Deliver = Callable[["Answer", asyncio.StreamWriter], Awaitable[None]]
"""Writes to the client in place of a model's answer."""


@dataclass
class Answer:
    """An answer of a model, as Triton gave it.

    Attributes:
        head: The JSON part without the outputs.
        tensors: The outputs by name.
    """

    head: dict[str, Any]
    tensors: dict[str, np.ndarray]

    @classmethod
    def read(cls, headers: dict[str, str], body: bytes) -> "Answer":
        length = int(headers["inference-header-content-length"])
        head, at, tensors = json.loads(body[:length]), length, {}
        for output in head.pop("outputs"):
            end = at + output["parameters"]["binary_data_size"]
            tensors[output["name"]] = np.frombuffer(body[at:end], np.float32).reshape(output["shape"])
            at = end
        return cls(head, tensors)

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """The outputs as the JSON part describes them."""
        names = {"float32": "FP32", "float64": "FP64", "uint8": "UINT8"}
        return [
            {
                "name": name,
                "datatype": names[tensor.dtype.name],
                "shape": list(tensor.shape),
                "parameters": {"binary_data_size": tensor.nbytes},
            }
            for name, tensor in self.tensors.items()
        ]

    @property
    def binary(self) -> bytes:
        """The outputs' bytes."""
        return b"".join(np.ascontiguousarray(tensor).tobytes() for tensor in self.tensors.values())

    def encode(self, **head: object) -> bytes:
        """The HTTP reply; `head` replaces members of the JSON part."""
        text = json.dumps({**self.head, "outputs": self.outputs, **head}).encode()
        return http_reply(text + self.binary, f"Inference-Header-Content-Length: {len(text)}")


def http_reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP reply."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Seen:
    """A request that came to the relay."""

    path: str
    headers: dict[str, str]
    body: bytes


class TritonRelay:
    """The relay, in a thread of its own; a context manager.

    Args:
        triton: ``host:port`` of the real Triton.
        host: IP address that the relay listens on.

    Attributes:
        address: ``host:port`` of the relay.
        deliver: What to do in place of a reply, by the end of a path, such as ``crowd_dense/infer``.
        seen: Requests that came.
    """

    def __init__(self, triton: str, host: str = "127.0.0.1") -> None:
        self.address = ""
        self.deliver: dict[str, Deliver] = {}
        self.seen: list[Seen] = []
        self._host = host
        self._triton = triton.rsplit(":", 1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._open: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> "TritonRelay":
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        self.address = join_address(*self._server.sockets[0].getsockname()[:2])
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def asked(self, end: str) -> int:
        """How many requests came whose path ends so."""
        return sum(each.path.endswith(end) for each in self.seen)

    async def _serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._on_connection, self._host, 0)

    async def _close(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    await self._answer(await _read(reader), writer)
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, message: tuple[bytes, dict[str, str], bytes], writer: asyncio.StreamWriter) -> None:
        head, headers, body = message
        path = head.split(b" ")[1].decode()
        self.seen.append(Seen(path, headers, body))
        deliver = next((each for end, each in self.deliver.items() if path.endswith(end)), None)
        behind_reader, behind_writer = await asyncio.open_connection(*self._triton)
        behind_writer.write(head + body)
        reply_head, reply_headers, reply_body = await _read(behind_reader)
        behind_writer.close()
        if deliver is None:
            writer.write(reply_head + reply_body)
            await writer.drain()
        elif path.endswith("/infer"):
            await deliver(Answer.read(reply_headers, reply_body), writer)
        else:
            await deliver(Answer(json.loads(reply_body or b"{}"), {}), writer)


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, dict[str, str], bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:] if line]
    headers = {name.lower(): value for name, _, value in lines}
    return head, headers, await reader.readexactly(int(headers.get("content-length", 0)))


async def hang(answer: Answer, writer: asyncio.StreamWriter) -> None:
    """Give no answer."""
    await asyncio.Event().wait()


def sends(reply: Callable[[Answer], bytes]) -> Deliver:
    """Send bytes in place of the reply."""

    async def deliver(answer: Answer, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(answer))
        await writer.drain()

    return deliver


def altered(change: Callable[[np.ndarray], np.ndarray]) -> Deliver:
    """Send the answer with every output changed."""
    return sends(lambda answer: Answer(answer.head, {k: change(v) for k, v in answer.tensors.items()}).encode())


@dataclass
class Flood:
    """Sends a reply that does not end.

    Attributes:
        announced: Its Content-Length; None for chunks.
        pause_seconds: Time between two pieces.
        piece_bytes: Size of a piece.
        sent: Bytes sent so far.
    """

    announced: int | None = None
    pause_seconds: float = 0.0
    piece_bytes: int = 65_536
    sent: int = field(default=0, init=False)

    async def __call__(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        length = "Transfer-Encoding: chunked" if self.announced is None else f"Content-Length: {self.announced}"
        writer.write(f"HTTP/1.1 200 OK\r\n{length}\r\nInference-Header-Content-Length: 9\r\n\r\n".encode())
        piece = b" " * self.piece_bytes
        while True:
            writer.write(piece if self.announced else b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            self.sent += len(piece)
            await asyncio.sleep(self.pause_seconds)
