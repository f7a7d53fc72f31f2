"""uvicorn's HTTP protocol within limits: of header bytes and headers, of requests in advance, of time.

        ┌──────────────────────── next request ────────────────────────┐
    idle ──► head ──► body, which the application reads ──► answer ────┘
     │        │        └─ of a request that is answered already: lingering
     │        └─ 408, 414 or 431, then lingering
     └─ closed in silence

A connection lingers, and what still comes is thrown away, so that a client that is sending gets to read its answer.
"""

import asyncio
import json
import time
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from crowdserve_transformer.transport.connections import KEEP_ALIVE_SECONDS, Connections
from crowdserve_transformer.transport.http2_refusal import PREFACE, go_away

_LINGER_SECONDS = 3.0
_MAX_IN_ADVANCE = 16
"""Most requests that a client may send before it has the answer to the first."""

_FIELD_OVERHEAD_BYTES = 4
_PIECE_BYTES = 64 * 2**10


class _Refused(Exception):
    """Raised inside of a parser's callback, which ends the parsing."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection. uvicorn makes it with keyword arguments of its own; `connections` comes before them."""

    def __init__(self, connections: Connections, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self.ws_protocol_class = None
        self.last_active = time.monotonic()
        self._peers = connections
        self._limits = connections.limits
        self._state = "idle"
        self._until: float | None = self.last_active + KEEP_ALIVE_SECONDS
        self._deaf = self._closing = False
        self._fed_bytes = self._field_bytes = self._fields = 0
        self._body_bytes = self._framing_bytes = self._lingered_bytes = 0
        self._refusal = (400, "the request is not HTTP")
        self.written_bytes = self._taken_bytes = 0
        self._pace_since = 0.0

    # What asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection on, or refuse it at once."""
        super().connection_made(transport)
        if not self._peers.add(self):
            self._write_error(503, "too many connections; try again later")
            self._deaf = True
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._peers.discard(self)
        super().connection_lost(exc)
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Parse what came, in pieces between which the limits are looked at."""
        self.last_active = time.monotonic()
        self._unset_keepalive_if_required()
        if self._is_lingering():
            self._lingered_bytes += len(data)
            if self._lingered_bytes > self._limits.lingering_bytes:
                self.end()
        for start in range(0, len(data), _PIECE_BYTES):
            if self._deaf or self.parser is None:
                return
            self._feed(data[start : start + _PIECE_BYTES] if len(data) > _PIECE_BYTES else data)

    def _is_lingering(self) -> bool:
        return self._deaf or (self._state == "body" and self.cycle.response_complete)

    def _feed(self, piece: bytes) -> None:
        before, body_before = self._state, self._body_bytes
        if before == "idle":
            self._until = self._until or self.last_active + KEEP_ALIVE_SECONDS
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as offer:
            if not self._is_offered_upgrade():  # CONNECT: what follows is another protocol; the request is answered
                self._deaf = True
                self.cycle.keep_alive = False
                return
            self._feed(self._head_without_offer() + piece[offer.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(*self._refusal, is_http2=piece.startswith(PREFACE))
            return
        if before == self._state == "head":
            self._fed_bytes += len(piece)
            if self._fed_bytes > self._limits.header_bytes:
                self._refuse(431, self._too_long())
        elif before == self._state == "body":
            self._framing_bytes += len(piece) - (self._body_bytes - body_before)
            if self._framing_bytes > self._limits.header_bytes + self._body_bytes:
                self._refuse(400, "the chunks of the request body are too small, or its trailers too long")

    def _is_offered_upgrade(self) -> bool:
        """Whether the head that was parsed offers another protocol, as Java's client does with every first request."""
        return bool(self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT")

    def _head_without_offer(self) -> bytes:
        """The head again, for a new parser: this one takes what follows for the other protocol, not for the body."""
        line = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = [b"%s: %s\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        return b"".join([line, *fields, b"\r\n"])

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._state = "head"
        self._until = self.last_active + self._limits.header_seconds
        self._fed_bytes = self._field_bytes = self._fields = 0
        self._body_bytes = self._framing_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        super().on_url(url)
        if len(self.url) > self._limits.header_bytes:
            self._stop_parsing(414, f"the URL is over {self._limits.header_bytes:,} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header or trailer; trailers are not kept."""
        self._fields += 1
        self._field_bytes += len(name) + len(value) + _FIELD_OVERHEAD_BYTES
        if self._fields > self._limits.headers:
            self._stop_parsing(431, f"the request has over {self._limits.headers} headers")
        if self._field_bytes > self._limits.header_bytes:
            self._stop_parsing(431, self._too_long())
        if self._state == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        if len(self.pipeline) >= _MAX_IN_ADVANCE:
            self._stop_parsing(429, "too many requests in advance of their answers")
        if self._is_offered_upgrade():
            return
        super().on_headers_complete()
        self._state, self._until = "body", None
        self.cycle.transport = _LingeringTransport(self)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Count what is the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        if self._is_offered_upgrade():
            return
        self._state = "idle"
        self._until = self.last_active + KEEP_ALIVE_SECONDS if self.cycle.response_complete else None
        super().on_message_complete()
        if self._closing:
            self.transport.close()

    # What uvicorn and `Connections` call

    def on_response_complete(self) -> None:
        """Start the next request that came in advance, or wait for one."""
        super().on_response_complete()
        if not self.pipeline and self.cycle.response_complete:
            if self._deaf:
                self.transport.close()
            elif self._state == "body":
                self._until = time.monotonic() + _LINGER_SECONDS

    def close_in_peace(self) -> None:
        """Close once the client has sent its request to the end, which it may be doing still."""
        if self._state == "body" and not self._deaf:
            self._closing = True
            self._until = time.monotonic() + _LINGER_SECONDS
        else:
            self.transport.close()

    def is_answered(self) -> bool:
        """Whether a whole request is being worked on, or its answer sent."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def end(self) -> None:
        """Close at once."""
        self._deaf = True
        self.transport.abort()

    def check(self, now: float) -> None:
        """End what takes too long."""
        if self._is_stalled(now):
            self.end()
        elif self._until is not None and now > self._until:
            if self._state == "head" and not self._deaf:
                self._refuse(408, f"the headers took over {self._limits.header_seconds:g} seconds")
            elif self._state == "idle" and self.is_answered():
                self._until = None
            else:
                self.end()

    def _is_stalled(self, now: float) -> bool:
        """Whether the client does not take its answer at the least pace."""
        unsent = self.transport.get_write_buffer_size()
        taken = self.written_bytes - unsent
        if not unsent or taken >= self._taken_bytes + self._limits.pace_bytes:
            self._taken_bytes, self._pace_since = taken, now
        return unsent > 0 and now - self._pace_since > self._limits.pace_seconds

    # Refusals

    def _stop_parsing(self, status: int, text: str) -> None:
        self._refusal = (status, text)
        raise _Refused

    def _too_long(self) -> str:
        return f"the headers are over {self._limits.header_bytes:,} bytes"

    def _refuse(self, status: int, text: str, *, is_http2: bool = False) -> None:
        """Answer instead of the application if no answer has begun; then throw away what still comes, for a while."""
        self._deaf = True
        self.flow.resume_reading()
        if self._state == "body" and not self.cycle.response_complete:
            is_begun = self.cycle.response_started or bool(self.pipeline)
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        else:  # an answer to an earlier request may be under way: it ends, and so does the connection
            is_begun = self.cycle is not None and not self.cycle.response_complete
            if is_begun:
                self.cycle.keep_alive = False
        if not is_begun:
            if is_http2:
                self.transport.write(go_away())
            else:
                self._write_error(status, text)
        self._until = time.monotonic() + (KEEP_ALIVE_SECONDS if is_begun else _LINGER_SECONDS)

    def _write_error(self, status: int, text: str) -> None:
        content = json.dumps({"error": text}).encode()
        again = b"retry-after: 1\r\n" if status in {429, 503} else b""
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n%s\r\n"
        self.transport.write(STATUS_LINE[status] + head % (len(content), again) + content)


class _LingeringTransport:
    """The transport that an answer is written to; closing it leaves the client time to read the answer."""

    def __init__(self, protocol: GuardedProtocol) -> None:
        self._protocol = protocol
        self.is_closing = protocol.transport.is_closing

    def write(self, data: bytes) -> None:
        """Send bytes as the client takes them."""
        self._protocol.written_bytes += len(data)
        self._protocol.transport.write(data)

    def close(self) -> None:
        """Close in peace."""
        self._protocol.close_in_peace()
