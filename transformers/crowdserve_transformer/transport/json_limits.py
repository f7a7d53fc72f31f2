"""Limits on a JSON body that are checked before it is parsed.

A parser cannot be interrupted, and holds Python's global lock: while it works, nothing else does. So everything that
makes it work is counted first, in numpy, which holds no lock: separators, brackets and quotes cannot be hidden, and
those inside of text only make the count too high. What is left over, depth and numbers of any length, costs the parser
next to nothing.
"""

import numpy as np
import numpy.typing as npt

from crowdserve.errors import ImageTooLarge, InvalidRequest

MAX_VALUES = 2_500_000
"""Most separators: the pixels of one 1024x768 photo as numbers are 2.4 million."""

MAX_CONTAINERS = 1_000_000
"""Most lists and objects: those pixels have a list for each."""

MAX_QUOTES = 20_000
"""Most quotes; names and texts have two each."""

SMALL_BYTES = 256 * 2**10
"""Nothing in a smaller body takes more than milliseconds."""

MAX_WIDE_BYTES = 4 * 2**20
"""Largest body with characters outside of ASCII: one of them makes Python keep four bytes for every character."""

MAX_ESCAPED_BYTES = 64 * 2**10
"""Longest text with escapes of such characters."""

_PIECE_BYTES = 2**20
_COMMA, _COLON, _QUOTE, _BACKSLASH, _U, _ZERO, _LOWER_CASE, _OPENING = *b',:"\\u0', 0x20, 0x7B
_NOT_ASCII = 0x80
_Bytes = npt.NDArray[np.uint8]


def check_json(body: bytes | bytearray | memoryview) -> None:
    """Refuse a JSON body that would take too long to parse.

    Raises:
        ImageTooLarge: If it holds more values, containers or texts than a request needs.
        InvalidRequest: If a long text holds characters that make it longer still.
    """
    if len(body) <= SMALL_BYTES or _is_plainly_within(body):
        return
    text = np.frombuffer(body, np.uint8)
    values = containers = escapes = 0
    quotes: list[npt.NDArray[np.int64]] = []
    escaped: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(text), _PIECE_BYTES):
        piece = text[start : start + _PIECE_BYTES]
        values += np.count_nonzero(piece == _COMMA) + np.count_nonzero(piece == _COLON)
        containers += np.count_nonzero((piece | _LOWER_CASE) == _OPENING)
        quotes.append(np.flatnonzero(piece == _QUOTE) + start)
        escaped.append(_wide_escapes(text, np.flatnonzero(piece == _BACKSLASH) + start))
        escapes += len(escaped[-1])
        _check_counts(values, containers, sum(map(len, quotes)))
        if escapes > MAX_ESCAPED_BYTES or (len(text) > MAX_WIDE_BYTES and bool((piece >= _NOT_ASCII).any())):
            raise InvalidRequest(
                "a JSON body this long must be ASCII: send files as base64, and other characters as \\u escapes"
            )
    _check_texts(np.concatenate(quotes), np.concatenate(escaped), len(text))


def _is_plainly_within(body: bytes | bytearray | memoryview) -> bool:
    """Whether a body is an ordinary one of a few megabytes: a search for one byte is faster than numpy."""
    if isinstance(body, memoryview) or len(body) > MAX_WIDE_BYTES:
        return False
    counts = [body.count(character) for character in (b",", b":", b"[", b"{", b'"')]
    return sum(counts) <= MAX_QUOTES and (b"\\" not in body or b"\\u" not in body)


def _wide_escapes(text: _Bytes, backslashes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The backslashes before an escape of a character beyond U+00FF."""
    at = backslashes[backslashes < len(text) - 3]
    wide: npt.NDArray[np.int64] = at[(text[at + 1] == _U) & ((text[at + 2] != _ZERO) | (text[at + 3] != _ZERO))]
    return wide


def _check_counts(values: int, containers: int, quotes: int) -> None:
    for found, limit, what in (
        (values, MAX_VALUES, "values"),
        (containers, MAX_CONTAINERS, "lists and objects"),
        (quotes, MAX_QUOTES, "quotes"),
    ):
        if found > limit:
            raise ImageTooLarge(
                f"the JSON body holds over {limit:,} {what}; send encoded files, or pixels with the binary extension"
            )


def _check_texts(quotes: npt.NDArray[np.int64], escaped: npt.NDArray[np.int64], length: int) -> None:
    ends = np.concatenate([[-1], quotes, [length]])
    index = np.searchsorted(quotes, escaped)
    if np.any(ends[index + 1] - ends[index] > MAX_ESCAPED_BYTES):
        raise InvalidRequest(
            f"a text of over {MAX_ESCAPED_BYTES:,} bytes in the JSON body has \\u escapes of characters that base64 "
            "does not have; send files as base64"
        )
