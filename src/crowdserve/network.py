"""Network addresses as text, and sockets that listen: IPv4, IPv6 and both at once."""

import errno
import ipaddress
import re
import socket
from contextlib import ExitStack, suppress

ANY = "::"
"""Every address of this machine, of both families; of IPv4 alone where there is no IPv6."""

REACHED = {"0.0.0.0": "127.0.0.1", ANY: "127.0.0.1"}
"""How this machine reaches what listens on every address of it."""

_ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""Errors of an address that this machine does not have, and of a family that it does not speak."""

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<name>[^\s/@?#\[\]:]+))(?::(?P<port>\d{1,5}))?")


def join_address(host: str, port: int) -> str:
    """``HOST:PORT``; an IPv6 address gets its brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(text: str, default_port: int) -> tuple[str, int]:
    """Host, without brackets, and port of ``HOST``, ``HOST:PORT``, ``[IPV6]`` or ``[IPV6]:PORT``.

    Raises:
        ValueError: If it is another text; an IPv6 address without brackets could mean a port as well.
    """
    match = _ADDRESS.fullmatch(text)
    port = int(match["port"] or default_port) if match else 0
    if match is None or not 0 < port < 65536:
        raise ValueError("expected HOST or HOST:PORT without a scheme, such as 127.0.0.1:8000 or [::1]:8000")
    if match["ipv6"]:
        ipaddress.IPv6Address(match["ipv6"])
    return match["ipv6"] or match["name"], port


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, by its name or address alone."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to one port at every address of a host; they do not accept connections yet.

    Args:
        host: Name or IP address of this machine; `ANY` for all of them.
        port: 0 for a free one.

    Raises:
        OSError: If the host has no address here, or the port cannot be had at one of them.
    """
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    with ExitStack() as opened:
        for family, address in _addresses(host):
            number = sockets[0].getsockname()[1] if sockets else port
            try:
                sockets.append(opened.enter_context(_bound(family, address, number)))
            except OSError as err:
                if err.errno not in _ABSENT:
                    raise
                absent = err
            if sockets and host == ANY:
                break  # it takes IPv4 as well
        if absent is not None and not sockets:
            raise absent
        opened.pop_all()
    return sockets


def is_elsewhere(err: OSError) -> bool:
    """Whether `listen` failed because the host is not this machine, rather than because of the port."""
    return isinstance(err, socket.gaierror) or err.errno in _ABSENT


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    if host == ANY:
        return [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, *_, address in found))


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a lingering connection does not block the port
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != ANY))
        listener.bind((address, port))
    except OSError:
        listener.close()
        raise
    return listener
