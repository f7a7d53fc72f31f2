"""Connections to one Triton: replies read up to a limit, at the address behind a host that one is told."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult

CONNECT_SECONDS = 5.0
"""Longest wait for a connection: a machine that is gone answers nothing, and another Triton can be asked."""


class ReplyTooLong(Exception):
    """A reply has more bytes than it can have."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply read whole.

    Attributes:
        status: HTTP status.
        headers: HTTP headers; names in any case.
        body: The bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class TritonConnections:
    """An HTTP client without a limit on connections; make it while the event loop runs.

    What a server sends makes it do nothing: no redirect is followed, no cookie kept, nothing unpacked.

    Args:
        address: ``host:port``; the host goes into the Host header and is what a certificate must be for.
        timeout_seconds: Longest wait for one whole answer, connecting included.
        use_ssl: Whether to speak TLS.
        connect_to: IP address to connect to instead of resolving the host.
    """

    def __init__(self, address: str, *, timeout_seconds: float, use_ssl: bool, connect_to: str | None = None) -> None:
        self._url = f"{'https' if use_ssl else 'http'}://{address}"
        resolver = _FixedAddress(connect_to) if connect_to else None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=resolver),
            timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=min(timeout_seconds, CONNECT_SECONDS)),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, path: str, *, max_bytes: int) -> Reply:
        """Send a GET request.

        Raises:
            ReplyTooLong: If the reply has more than `max_bytes`.
            aiohttp.ClientError, TimeoutError, OSError: If there is no whole reply.
        """
        return await self._read(self._session.get(self._url + path, allow_redirects=False), max_bytes)

    async def post(
        self, path: str, parts: Sequence[bytes | memoryview], headers: Mapping[str, str], *, max_bytes: int
    ) -> Reply:
        """Send a POST request whose body is some parts in turn; it raises what `get` does."""
        request = self._session.post(self._url + path, data=_Parts(parts), headers=headers, allow_redirects=False)
        return await self._read(request, max_bytes)

    async def _read(self, request: "aiohttp.client._RequestContextManager", max_bytes: int) -> Reply:
        async with request as response:
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > max_bytes:
                    response.close()  # or the rest would be read for another request's sake
                    raise ReplyTooLong(f"over {max_bytes:,} bytes")
            return Reply(response.status, response.headers, bytes(content))


class _Parts(aiohttp.Payload):
    """A body of some parts in turn, which are sent as they are: joined, a photo would be in memory three times."""

    _autoclose = True

    def __init__(self, parts: Sequence[bytes | memoryview]) -> None:
        super().__init__(parts)
        self._size = sum(map(len, parts))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All of it as text, which aiohttp asks of every body for its own logs."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it."""
        for part in self._value:
            await writer.write(part)


class _FixedAddress(AbstractResolver):
    """Resolves every host to one IP address."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The address, whatever the host."""
        found = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host, host=self._address, port=port, family=found, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""
