"""Names under which the console answers.

A page of another site can have its own name lead to this machine, and its script then reads what is served here as if
it were its own (DNS rebinding). It cannot do that with an address, nor with a name that is not its own: so addresses,
this machine's names and those that somebody has listed are answered, and no others.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from contextlib import suppress

from crowdserve.errors import CrowdServeError, SetupError, quoted

HOSTS_VARIABLE = "CROWDSERVE_CONSOLE_HOSTS"
EVERY_NAME = "*"

_LISTED = re.compile(r"(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::\d{1,5})?")


class UnknownHost(CrowdServeError):
    """A browser asks for a name that is not this console's."""

    http_status = 421


def read_console_hosts(text: str) -> tuple[str, ...]:
    """The names in a list that is separated by commas.

    Args:
        text: Names, `*.example.com` for every name below example.com, `*` for every name.

    Raises:
        ValueError: If one cannot be a name.
    """
    names = [name.lower() for each in text.split(",") if (name := each.strip())]
    for name in names:
        if name != EVERY_NAME and not _is_address(name) and not _LISTED.fullmatch(name):
            raise ValueError(
                f"{quoted(name)} is no name; expected names without scheme and port, such as console.example.com or "
                "*.example.com, separated by commas"
            )
    return tuple(name.removesuffix(".") for name in names)


def chosen_hosts(text: str, bound: str) -> "Hosts":
    """The names of a console whose operator has listed some.

    Args:
        text: The list, as of `read_console_hosts`.
        bound: What the console listens on.

    Raises:
        SetupError: If one cannot be a name.
    """
    try:
        return Hosts(read_console_hosts(text), bound)
    except ValueError as err:
        raise SetupError(f"--console-hosts, {HOSTS_VARIABLE}: {err}") from err


class Hosts:
    """The names of one console.

    Args:
        listed: Names that somebody has listed, as of `read_console_hosts`.
        bound: What it listens on.
    """

    def __init__(self, listed: Iterable[str] = (), bound: str = "") -> None:
        own = socket.gethostname().lower()
        short = own.partition(".")[0]
        names = {"localhost", "*.localhost", own, short, f"{short}.local", bound.lower(), *listed}
        self._every = EVERY_NAME in names
        self._names = frozenset(name for name in names if "*" not in name)
        self._above = tuple(name[1:] for name in names if name.startswith("*."))

    def check(self, host: str | None) -> None:
        """Check a request's Host header.

        Raises:
            UnknownHost: If it has another name.
        """
        found = _HOST.fullmatch(host or "")
        if found is not None and (found["ipv6"] or self._is_known(found["name"])):
            return
        shown = quoted((host or "")[:100])
        raise UnknownHost(
            f"{shown} is not a name of this console: open it by an address, or list the name in {HOSTS_VARIABLE}, "
            "--console-hosts or the chart's console.hosts"
        )

    def _is_known(self, name: str) -> bool:
        name = name.lower().removesuffix(".")
        return self._every or name in self._names or name.endswith(self._above) or _is_address(name)


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return False
