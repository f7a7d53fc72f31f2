"""Connections to what a watcher or a console serves: uvicorn's, with an end for clients that are slow or silent."""

import asyncio

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Longest time for a request's line and headers, from the connection or their first byte on."""

PACE_SECONDS, _PACE_BYTES = 10.0, 16 * 2**10
"""Time in which a client must take so much of an answer, or its rest."""

_GRACE_SECONDS = 5


def http_config(app: ASGIApp, connections: int) -> uvicorn.Config:
    """How to serve an application.

    Args:
        app: It.
        connections: Most of them; more are answered with 503.
    """
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=connections,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


class PatientProtocol(H11Protocol):
    """One connection. uvicorn itself limits the bytes of a head, and the silence after an answer."""

    _head: asyncio.TimerHandle | None = None
    _pace: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head."""
        super().connection_made(transport)
        self._limit_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._head = _cancelled(self._head)
        self._pace = _cancelled(self._pace)

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        super().data_received(data)
        self._limit_head()

    def pause_writing(self) -> None:
        """Wait for the client to take what it was sent."""
        super().pause_writing()
        self._limit_pace()

    def resume_writing(self) -> None:
        """Go on, because the client has."""
        super().resume_writing()
        self._pace = _cancelled(self._pace)

    def on_response_complete(self) -> None:
        """Wait for the client to take the rest."""
        super().on_response_complete()
        self._limit_pace()

    def _limit_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._head = _cancelled(self._head)
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _limit_pace(self) -> None:
        self._pace = _cancelled(self._pace)
        if unsent := self.transport.get_write_buffer_size():
            self._pace = self.loop.call_later(PACE_SECONDS, self._check_pace, unsent)

    def _check_pace(self, before: int) -> None:
        unsent = self.transport.get_write_buffer_size()
        if before - unsent < min(before, _PACE_BYTES):
            self.transport.abort()
        else:
            self._limit_pace()


def _cancelled(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """What stands in the place of a timer that is not to ring: none."""
    if timer is not None:
        timer.cancel()
    return None
