"""Connections to one Triton: replies read up to a limit, at the address behind a host that one is told."""

import asyncio
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from functools import cache

from crowdserve.network import split_address
from crowdserve.triton.exchange import Exchange, Reply

CONNECT_SECONDS = 5.0
"""Longest wait for a connection: a machine that is gone answers nothing, and another Triton can be asked."""

_IDLE_SECONDS = 15.0
"""A connection that was idle for longer is not used any more: what stands between may have forgotten it."""

_HTTP_PORT, _HTTPS_PORT = 80, 443
_NOT_IN_A_HEADER = re.compile(r"[\r\n\0]")


class ConnectFailed(ConnectionError):
    """There is no connection."""


class TritonConnections:
    """An HTTP client without a limit on connections; use it within the event loop in which it is made.

    What a server sends makes it do nothing: no redirect is followed, no cookie kept, nothing unpacked.

    Args:
        address: ``host:port``; the host goes into the Host header and is what a certificate must be for.
        timeout_seconds: Longest wait for one whole answer, connecting included.
        use_ssl: Whether to speak TLS.
        connect_to: IP address to connect to instead of resolving the host.
    """

    def __init__(self, address: str, *, timeout_seconds: float, use_ssl: bool, connect_to: str | None = None) -> None:
        self._host, self._port = split_address(address, _HTTPS_PORT if use_ssl else _HTTP_PORT)
        self._host_field = f"Host: {address}\r\n"
        self._connect_to = connect_to or self._host
        self._timeout_seconds = timeout_seconds
        self._use_ssl = use_ssl
        self._open: set[Exchange] = set()
        self._idle: list[Exchange] = []

    async def close(self) -> None:
        """Close all connections; who waits for a reply gets none."""
        ends = [exchange.ended for exchange in self._open]
        for exchange in self._open:
            exchange.end()
        if ends:
            await asyncio.wait(ends)

    async def get(self, path: str, *, max_bytes: int) -> Reply:
        """Send a GET request.

        Raises:
            ConnectFailed: If no connection can be had.
            ConnectionError: If it broke; `NoReply` if that was before a reply began.
            ReplyNotHttp, ReplyTooLong: If there is no reply that can be used.
            TimeoutError: If the whole reply is not there in time.
        """
        return await self._asked([f"GET {path} HTTP/1.1\r\n{self._host_field}\r\n".encode()], max_bytes)

    async def post(
        self, path: str, parts: Sequence[bytes | memoryview], headers: Mapping[str, str], *, max_bytes: int
    ) -> Reply:
        """Send a POST request whose body is some parts in turn; it raises what `get` does.

        The parts are sent as they are: joined, a photo would be in memory once more.
        """
        length = sum(map(len, parts))
        fields = "".join(f"{name}: {_checked(value)}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\n{self._host_field}{fields}Content-Length: {length}\r\n\r\n"
        return await self._asked([head.encode(), *parts], max_bytes)

    async def _asked(self, request: Sequence[bytes | memoryview], max_bytes: int) -> Reply:
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        exchange = self._idle_one() or await self._connected()
        async with asyncio.timeout_at(deadline):
            reply = await exchange.ask(request, max_bytes)
        if exchange.is_usable:
            self._idle.append(exchange)
        return reply

    def _idle_one(self) -> Exchange | None:
        """The connection that was used last: others grow old, and are closed."""
        while self._idle:
            exchange = self._idle.pop()
            if exchange.is_usable and time.monotonic() - exchange.idle_since < _IDLE_SECONDS:
                return exchange
            exchange.end()
        return None

    async def _connected(self) -> Exchange:
        tls, name = (_tls_context(), self._host) if self._use_ssl else (None, None)
        connect = asyncio.get_running_loop().create_connection
        try:
            async with asyncio.timeout(min(CONNECT_SECONDS, self._timeout_seconds)):
                _, exchange = await connect(Exchange, self._connect_to, self._port, ssl=tls, server_hostname=name)
        except (OSError, UnicodeError) as err:  # also if it takes too long
            raise ConnectFailed(f"{type(err).__name__}: {err}") from err
        self._open.add(exchange)
        exchange.ended.add_done_callback(lambda _: self._forget(exchange))
        return exchange

    def _forget(self, exchange: Exchange) -> None:
        self._open.discard(exchange)
        if exchange in self._idle:
            self._idle.remove(exchange)


def _checked(value: str) -> str:
    """A value of a header, which ends where its line does.

    Raises:
        ValueError: If it would not.
    """
    if _NOT_IN_A_HEADER.search(value):
        raise ValueError("a header's value cannot have several lines")
    return value


@cache
def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
