"""What stands before a file that was cut out of a stream or a form: a boundary line, the headers of a part."""

import re

_LONGEST_BYTES = 8192
_ENVELOPE = re.compile(
    rb"""(?:\xef\xbb\xbf)?(?:\r?\n)*
    (?:HTTP/[^\r\n]+\r?\n)?
    (?:--[^\r\n]+\r?\n)?
    (?:[A-Za-z][A-Za-z0-9-]*:[^\r\n]*\r?\n)*
    (?:\r?\n)?""",
    re.VERBOSE,
)


def envelope_bytes(data: bytes) -> int:
    """How many bytes stand before the file itself: a mark that text begins with, a line `--boundary`, headers."""
    found = _ENVELOPE.match(data, 0, _LONGEST_BYTES)
    return found.end() if found else 0
