"""Compressed answers: in a coding that the caller accepts, and only where it pays."""

import gzip
import zlib
from collections.abc import Callable, Mapping, Sequence

from crowdserve.errors import InvalidRequest, Overloaded
from crowdserve_transformer.budget import AnswerHold
from crowdserve_transformer.threads import Threads
from crowdserve_transformer.transport.inflation import CODINGS

LEAST_BYTES = 1400
"""A shorter answer, such as a count, fits into one packet as it is."""

_SAMPLE_BYTES = 32 * 2**10
_WORTHWHILE = 0.9
"""Share of its size that an answer must be compressed to. A heat map in binary form is compressed already."""

_LEVEL = 1
"""Of 1 to 9. On the text of density maps, 6 takes three times as long and saves another tenth."""

_COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, _LEVEL, mtime=0),
    "deflate": lambda content: zlib.compress(content, _LEVEL),
}
_NAMES: Mapping[str, Sequence[str]] = {"gzip": ("gzip", "x-gzip"), "deflate": ("deflate",)}


async def coded(
    content: bytes,
    headers: Mapping[str, str],
    accept_encodings: Sequence[str],
    threads: Threads,
    hold: AnswerHold | None = None,
) -> tuple[bytes, dict[str, str]]:
    """An answer's body as it is sent, and its headers.

    Args:
        content: The body.
        headers: Its headers.
        accept_encodings: The values of the request's Accept-Encoding headers.
        threads: Where large bodies are compressed.
        hold: The memory of the answer; it is sent as it is if there is none left for another form of it.
    """
    headers = {**headers, "vary": "accept-encoding"}
    coding = accepted_coding(accept_encodings)
    if coding is None or len(content) < LEAST_BYTES:
        return content, headers
    try:
        if hold is not None:
            hold.grow(len(content))
    except (InvalidRequest, Overloaded):
        return content, headers
    smaller = await threads.run(_compressed, content, coding)
    return (content, headers) if smaller is None else (smaller, {**headers, "content-encoding": coding})


def accepted_coding(accept_encodings: Sequence[str]) -> str | None:
    """The coding of `CODINGS` that a caller likes best; None if it does not ask for one (RFC 9110, section 12.5.3)."""
    likings: dict[str, float] = {}
    for each in ",".join(accept_encodings).split(","):
        name, _, weight = each.partition(";")
        if name.strip():
            likings[name.strip().lower()] = _liking(weight)
    others = likings.get("*", 0.0)
    best = max(CODINGS, key=lambda coding: _of(likings, coding, others))
    liking = _of(likings, best, others)
    return best if liking > 0 and liking >= likings.get("identity", 0.0) else None


def _of(likings: Mapping[str, float], coding: str, others: float) -> float:
    return max((likings[name] for name in _NAMES[coding] if name in likings), default=others)


def _liking(weight: str) -> float:
    """The number in `;q=0.5`; 1 if there is none, 0 if it is no such number."""
    name, _, value = weight.partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0


def _compressed(content: bytes, coding: str) -> bytes | None:
    """The content in a coding; None if that would save next to nothing."""
    middle = len(content) // 2
    sample = content[middle : middle + _SAMPLE_BYTES]
    if len(zlib.compress(sample, _LEVEL)) > _WORTHWHILE * len(sample):
        return None
    found = _COMPRESSORS[coding](content)
    return found if len(found) <= _WORTHWHILE * len(content) else None
