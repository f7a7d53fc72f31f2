"""REST connections: how many there are, how long each may take, and which one makes room for a new one.

uvicorn closes a connection that has been idle after an answer, and no other. Here each connection has a deadline in
every state in which it waits for its client, and one timer looks through all of them.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

KEEP_ALIVE_SECONDS = 75
"""Longer than the idle time of common proxies, so that the proxy closes a connection first."""

_SWEEP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of one connection, and of all.

    Attributes:
        connections: Most connections.
        header_bytes: Largest request line, and most bytes of headers and trailers of one request.
        headers: Most headers and trailers of one request.
        header_seconds: Longest time from a request's first byte to the end of its headers.
        pace_seconds: Time in which a client must take `pace_bytes` of an answer, or its rest.
        pace_bytes: See `pace_seconds`.
        lingering_bytes: Most bytes that are thrown away after an answer.
    """

    connections: int = 512
    header_bytes: int = 32 * 2**10
    headers: int = 100
    header_seconds: float = 10.0
    pace_seconds: float = 10.0
    pace_bytes: int = 160 * 2**10
    lingering_bytes: int = 256 * 2**20


class Connection(Protocol):
    """What `Connections` needs to know of a connection."""

    last_active: float

    def is_answered(self) -> bool:
        """Whether a whole request is being worked on."""

    def end(self) -> None:
        """Close at once."""

    def check(self, now: float) -> None:
        """End what takes too long."""


class Connections:
    """All REST connections of one process."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection) -> bool:
        """Take on a connection, if need be in the place of the one that has been silent for longest.

        Returns:
            Whether there is room for it.
        """
        if len(self._open) >= self.limits.connections and not self._make_room():
            return False
        self._open.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
        return True

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.discard(connection)

    def _make_room(self) -> bool:
        silent = [connection for connection in self._open if not connection.is_answered()]
        if not silent:
            return False
        longest = min(silent, key=lambda connection: connection.last_active)
        self._open.discard(longest)
        longest.end()
        return True

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in list(self._open):
            connection.check(now)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_SWEEP_SECONDS, self._sweep) if self._open else None
