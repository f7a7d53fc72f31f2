"""What of a request's own words goes on to Triton: trace headers and the id, bounded, and nothing else.

A caller may have written them, and Triton, its proxies and their logs need not expect that.
"""

from collections.abc import Mapping

MAX_ID_CHARACTERS = 128
MAX_HEADER_CHARACTERS = 512
"""W3C Trace Context asks for at least so many of `tracestate`; the other trace headers are far shorter."""

MAX_CREDENTIALS_CHARACTERS = 4096
"""Triton refuses 8 KiB of headers."""

_TRACE_HEADERS = frozenset({"traceparent", "tracestate", "x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled"})
_AUTHORIZATION = "authorization"


def passed_on(headers: Mapping[str, str], *, authorization: bool) -> dict[str, str]:
    """Headers that are sent to Triton; one that is too long or not plain is left out, since no answer depends on it.

    Args:
        headers: The request's headers, with lower-case names.
        authorization: Whether the caller's credentials are sent on.
    """
    limits = dict.fromkeys(_TRACE_HEADERS, MAX_HEADER_CHARACTERS) | {"x-request-id": MAX_ID_CHARACTERS}
    if authorization:
        limits[_AUTHORIZATION] = MAX_CREDENTIALS_CHARACTERS
    return {name: value for name, value in headers.items() if name in limits and _is_plain(value, limits[name])}


def plain_id(request_id: str) -> str:
    """A request's id as Triton gets it: `MAX_ID_CHARACTERS` at most, others than printable ASCII as a question mark."""
    return "".join(c if " " <= c <= "~" else "?" for c in request_id[:MAX_ID_CHARACTERS])


def _is_plain(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isascii() and text.isprintable()
