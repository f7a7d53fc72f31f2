"""One limit for everything that a picture takes: connection, TLS, head and body of each answer.

A limit of each read is none for a camera that sends a byte every now and then.
"""

import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from crowdserve.certificates import named_ca_file, tls_context
from crowdserve.live.errors import SourceLost

PICTURE_SECONDS = 60.0
"""Longest time that a camera may take for one picture."""

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_CONNECTIONS = 100
"""Of one video at once: a playlist may have many versions of it, and FFmpeg looks at each."""

_IDLE_SECONDS = 5.0
"""How long a connection is kept for the next picture: cameras and firewalls forget one that is idle, often silently."""


class TimeLimit:
    """A time in which something must be done, from now on.

    Args:
        seconds: How long it may take; `PICTURE_SECONDS` if None.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = PICTURE_SECONDS if seconds is None else seconds
        self.restart()

    def restart(self) -> None:
        """Count from now."""
        self._until = time.monotonic() + self._seconds

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            SourceLost: If none are.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise SourceLost(f"the camera takes over {self._seconds:g} s for a picture")
        return left


def limited_client(limit: TimeLimit, url: str, login: httpx.Auth | None = None) -> httpx.Client:
    """A client whose reading and writing ends with a limit; `SourceLost` says so.

    Args:
        limit: It.
        url: What will be asked for: authorities are read for https alone.
        login: User and password.

    Raises:
        SetupError: If the file of authorities has no certificates.
    """
    trusted = tls_context(named_ca_file(), url=url)
    transport = httpx.HTTPTransport(verify=trusted, trust_env=False)
    transport._pool = httpcore.ConnectionPool(
        trusted, max_connections=_CONNECTIONS, keepalive_expiry=_IDLE_SECONDS, network_backend=_Backend(limit)
    )
    return httpx.Client(timeout=_TIMEOUT, auth=login, trust_env=False, transport=transport)


class _Backend(httpcore.SyncBackend):
    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        with _within(self._limit, timeout) as seconds:
            return _Stream(super().connect_tcp(host, port, seconds, local_address, socket_options), self._limit)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, limit: TimeLimit) -> None:
        self._inner = inner
        self._limit = limit

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _within(self._limit, timeout) as seconds:
            return self._inner.read(max_bytes, seconds)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _within(self._limit, timeout) as seconds:
            self._inner.write(buffer, seconds)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        with _within(self._limit, timeout) as seconds:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, seconds), self._limit)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@contextmanager
def _within(limit: TimeLimit, timeout: float | None) -> Iterator[float]:
    """How long something may take, of which the limit is the cause if it has ended it."""
    left = limit.left()
    try:
        yield left if timeout is None else min(timeout, left)
    except httpcore.TimeoutException:
        limit.left()
        raise
