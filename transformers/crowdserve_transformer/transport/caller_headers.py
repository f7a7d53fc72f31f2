"""The headers of a caller that the service reads or passes on, each within a limit."""

from collections.abc import Iterable, Mapping

from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve_transformer.transport.deadlines import TIMEOUT_HEADER

CONTENT_TYPE = "content-type"

_MAX_CHARACTERS: Mapping[str, int] = {
    JSON_LENGTH_HEADER: 100,
    TIMEOUT_HEADER: 100,
    CONTENT_TYPE: 200,
    "x-request-id": 128,
    "authorization": 4096,
    "traceparent": 256,
    "tracestate": 512,
    "x-b3-traceid": 64,
    "x-b3-spanid": 64,
    "x-b3-sampled": 16,
}
"""Triton refuses 8 KiB of headers, which would look like a failure of Triton."""

_OF_THIS_SERVICE = {JSON_LENGTH_HEADER, TIMEOUT_HEADER, CONTENT_TYPE}


def known_headers(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those with a meaning here, by lower-case name.

    One that is passed on, and is too long or cannot be printed, is left out: the request can be answered without it.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return {
        name: value
        for name, value in pairs
        if name in _MAX_CHARACTERS and (name in _OF_THIS_SERVICE or _is_plain(value, _MAX_CHARACTERS[name]))
    }


def media_type_of(headers: Mapping[str, str]) -> str:
    """The media type of a body, in lower case and without parameters; empty if nothing says it."""
    return headers.get(CONTENT_TYPE, "").partition(";")[0].strip().lower()


def _is_plain(value: str, max_characters: int) -> bool:
    return len(value) <= max_characters and value.isascii() and value.isprintable()
