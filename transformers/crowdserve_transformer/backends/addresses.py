"""IP addresses of a host."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""A host's IP addresses; raises an OSError if there is none now."""


async def resolve_host(host: str) -> list[str]:
    """The addresses that the system finds for a host, each once; the look-up runs in a thread.

    Raises:
        OSError: If it finds none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_numeric(host: str) -> bool:
    """Whether a host is an IP address, which needs no look-up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
