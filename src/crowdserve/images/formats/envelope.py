"""What stands before a file that was cut out of a stream, a form or a tensor: a boundary line, headers, a length."""

import re

_LONGEST_BYTES = 8192
_ENVELOPE = re.compile(
    rb"""(?:\xef\xbb\xbf)?(?:\r?\n)*
    (?:HTTP/[^\r\n]+\r?\n(?:[A-Za-z][A-Za-z0-9-]*:[^\r\n]*\r?\n)*(?:\r?\n)*)?
    (?:--[^\r\n]+\r?\n)?
    (?:[A-Za-z][A-Za-z0-9-]*:[^\r\n]*\r?\n)*
    (?:\r?\n)?""",
    re.VERBOSE,
)


_LENGTH_BYTES = 4
"""Of the length before each element of a binary BYTES tensor, little-endian."""


def envelope_bytes(data: bytes) -> int:
    """How many bytes stand before the file itself.

    They are a mark that text begins with, a line `--boundary`, headers; or the length of the rest, where the content of
    a binary tensor was sent as a file.
    """
    if int.from_bytes(data[:_LENGTH_BYTES], "little") == len(data) - _LENGTH_BYTES:
        return _LENGTH_BYTES
    found = _ENVELOPE.match(data, 0, _LONGEST_BYTES)
    return found.end() if found else 0
