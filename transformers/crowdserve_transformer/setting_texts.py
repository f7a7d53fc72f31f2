"""What the texts of settings say, from flags and the environment: each function takes a text and gives its value.

Raises of all of them: ValueError, which says what was expected.
"""

import re
from collections.abc import Callable

from crowdserve.console.hosts import read_console_hosts
from crowdserve.network import join_address, split_address

_ORIGIN = re.compile(r"https?://[a-z0-9._-]+(:[0-9]+)?|https?://\[[0-9a-f:]+\](:[0-9]+)?")

DEFAULT_PREDICTOR_PORT = 80
"""Port of KServe's predictor Service, which the controller leaves out of `--predictor_host`."""


def truth(text: str) -> bool:
    """True or false."""
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        return values[text.lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def one_of(*choices: str) -> Callable[[str], str]:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return parse


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A whole number between two others."""

    def parse(text: str) -> int:
        value = int(text) if text.strip().lstrip("-").isdigit() else None
        if value is None or value < low or (high is not None and value > high):
            raise ValueError(f"expected a whole number from {low}" + (f" to {high}" if high is not None else " up"))
        return value

    return parse


def seconds(low: float) -> Callable[[str], float]:
    """A number of seconds, fractions too."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value < float("inf"):
            raise ValueError(f"expected a number of seconds from {low:g} up")
        return value

    return parse


def address(text: str) -> str:
    """A host with its port."""
    return join_address(*split_address(text, DEFAULT_PREDICTOR_PORT))


def console(text: str) -> str:
    """off, alone, or addresses."""
    return text if text in {"off", "alone"} else ",".join(map(address, text.split(",")))


def console_hosts(text: str) -> str:
    """Names of the console."""
    return ",".join(read_console_hosts(text))


def own_host(text: str) -> str:
    """A host of this machine, without the brackets of an IPv6 address."""
    host = text.removeprefix("[").removesuffix("]")
    if not host:
        raise ValueError("expected a name or an IP address of this machine, or :: for all of them")
    return host


def names(text: str) -> str:
    """Names separated by commas."""
    names = [name for each in text.split(",") if (name := each.strip())]
    if any("/" in name or not name.isprintable() for name in names):
        raise ValueError("expected names separated by commas, without slashes")
    return ",".join(names)


def origins(text: str) -> str:
    """Origins of pages, as browsers write them, separated by commas."""
    origins = [origin for each in text.split(",") if (origin := each.strip())]
    if not all(origin == "*" or _ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("expected origins as browsers write them, https://example.com or with a port, or *")
    return ",".join(map(_as_browsers_write, origins))


def _as_browsers_write(origin: str) -> str:
    """An origin without the port that its scheme has by default (RFC 6454, section 6.2)."""
    for scheme, port in (("http", ":80"), ("https", ":443")):
        if origin.startswith(f"{scheme}://"):
            origin = origin.removesuffix(port)
    return origin


def digest(text: str) -> str:
    """A SHA-256, or nothing."""
    if text and not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ValueError("expected sha256: and 64 hexadecimal digits in lower case, or nothing")
    return text


def one_worker(text: str) -> int:
    """The number of workers, of which there is one."""
    if text != "1":
        raise ValueError(
            "expected 1: worker processes would share neither readiness nor metrics, and one event loop keeps Triton "
            "busy; run more replicas instead"
        )
    return 1
