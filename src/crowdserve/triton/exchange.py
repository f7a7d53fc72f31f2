"""One HTTP/1.1 connection that carries a request and its reply at a time.

    idle ──► request, written at once ──► head ──► body ──► idle again, or closed
                                           └─ anything against the protocol or over the limit: closed

A library that does all of HTTP took a fifth of the processor time that a photo takes the transformer (studies/LOG.md).
Parsing is httptools', as in the transformer's own server.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import httptools

MAX_HEAD_BYTES = 64 * 2**10
"""Largest status line and headers of a reply, and what its chunks may need beside their content."""

_ENDS = {"content-length", "transfer-encoding"}
_WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


class ConnectionEnded(ConnectionError):
    """The other side has closed the connection."""


class NoReply(ConnectionEnded):
    """It has done so before it said anything: as a rule, one that was kept open had gone stale."""


class ReplyNotHttp(Exception):
    """What came is no reply."""


class ReplyTooLong(Exception):
    """A reply has more bytes than it can have."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply read whole.

    Attributes:
        status: HTTP status.
        headers: HTTP headers by lower-case name; the first of those that come twice.
        body: The bytes.
    """

    status: int
    headers: dict[str, str]
    body: bytes


class Exchange(asyncio.Protocol):
    """A connection; make it by `loop.create_connection` and use it within that loop.

    Attributes:
        idle_since: When it became idle, seconds of the monotonic clock.
        ended: Done once the connection is closed.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.idle_since = time.monotonic()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Reply] | None = None
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._max_bytes = self._received_bytes = self._body_bytes = 0
        self._is_until_end = False
        self._refusal: Exception | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it is open, and idle."""
        return self._transport is not None and self._answer is None and not self._transport.is_closing()

    async def ask(self, request: Sequence[bytes | memoryview], max_bytes: int) -> Reply:
        """Send a request and wait for its reply; the connection is closed if there is none.

        Args:
            request: Head and body, in parts that stay as they are until the reply is there.
            max_bytes: Most bytes of the reply's body.

        Raises:
            NoReply: If the connection ended before a reply began.
            ConnectionEnded: If it ended within the reply.
            ReplyNotHttp: If what came is no reply.
            ReplyTooLong: If it has more than `max_bytes`.
            OSError: If the connection broke.
        """
        assert self._transport is not None
        answer: asyncio.Future[Reply] = self._loop.create_future()
        self._answer = answer
        self._max_bytes, self._received_bytes, self._is_until_end = max_bytes, 0, False
        self._transport.writelines(request)
        try:
            reply = await answer
        except BaseException:
            self.end()
            raise
        self._answer = None
        self.idle_since = time.monotonic()
        return reply

    def end(self) -> None:
        """Close it at once; what has come of a reply is no whole one then."""
        self._is_until_end = False
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection on."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by its class
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._answer is None or self._answer.done():  # nobody has asked
            self.end()
            return
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as err:
            self._fail(self._refusal or ReplyNotHttp(str(err)))
        if self._received_bytes - self._body_bytes > MAX_HEAD_BYTES + self._body_bytes:
            self._fail(ReplyTooLong(f"a head of over {MAX_HEAD_BYTES:,} bytes"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits for a reply, unless its end is all that it lacks."""
        if self._is_until_end and exc is None:
            self._hand_over()
        kind = ConnectionEnded if self._received_bytes else NoReply
        self._fail(kind(str(exc or "closed by the other side")))
        self.ended.set_result(None)

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin to read a reply."""
        if self._answer is None or self._answer.done():
            self._refuse(ReplyNotHttp("more than one reply"))
        self._headers, self._pieces, self._body_bytes = {}, [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """Find out where the body ends."""
        has_end = self._headers.keys() & _ENDS or self._parser.get_status_code() in _WITHOUT_BODY
        self._is_until_end = not has_end

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > self._max_bytes:
            self._refuse(ReplyTooLong(f"over {self._max_bytes:,} bytes"))
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Hand the reply over."""
        if self._parser.get_status_code() < HTTPStatus.OK:  # what is told before the reply
            return
        self._hand_over()
        assert self._transport is not None
        if not self._parser.should_keep_alive() or self._transport.get_write_buffer_size():
            self.end()

    def _hand_over(self) -> None:
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Reply(self._parser.get_status_code(), self._headers, body))

    def _refuse(self, err: Exception) -> None:
        """End the parsing, which raises an error of its own."""
        self._refusal = err
        raise err

    def _fail(self, err: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(err)
        self.end()
