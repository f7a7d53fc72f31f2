"""Connections to one Triton: tritonclient's asynchronous client, which can be told the address behind a host."""

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from tritonclient.http.aio import InferenceServerClient

CONNECT_SECONDS = 5.0
"""Longest wait for a connection: a machine that is gone answers nothing, and another Triton can be asked."""


class TritonConnections(InferenceServerClient):  # type: ignore[misc]  # tritonclient is untyped
    """An `InferenceServerClient` without a limit on connections; make it while the event loop runs.

    Args:
        address: ``host:port``; the host goes into the Host header and is what a certificate must be for.
        timeout_seconds: Longest wait for one answer, connecting included.
        use_ssl: Whether to speak TLS.
        connect_to: IP address to connect to instead of resolving the host.
    """

    def __init__(self, address: str, *, timeout_seconds: float, use_ssl: bool, connect_to: str | None = None) -> None:
        super(InferenceServerClient, self).__init__()  # its own __init__ takes neither a resolver nor two time-outs
        self._url = f"{'https' if use_ssl else 'http'}://{address}"
        self._verbose = False
        self._conn = aiohttp.TCPConnector(limit=0, resolver=_FixedAddress(connect_to) if connect_to else None)
        wait = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=min(timeout_seconds, CONNECT_SECONDS))
        self._stub = aiohttp.ClientSession(connector=self._conn, timeout=wait, auto_decompress=False)


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
