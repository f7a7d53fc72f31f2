"""A stream of JPEG files in one HTTP answer: multipart/x-mixed-replace.

Cameras disagree about the boundary and many leave Content-Length out, so a part is found by its boundary line, read by
its length where it has one, and up to the next boundary where it has not.
Source: RFC 2046, section 5.1; the type is Netscape's of 1995.
"""

import re
from collections.abc import Iterable, Iterator

from crowdserve.live.errors import SourceLost
from crowdserve.live.sources.stills import MAX_FILE_BYTES

_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_MAX_HEADER_BYTES = 16 * 2**10


def jpeg_parts(pieces: Iterable[bytes], content_type: str) -> Iterator[bytes]:
    """The files of a stream.

    Args:
        pieces: The body as it arrives.
        content_type: The answer's media type, which names the boundary.

    Raises:
        SourceLost: If it is no such stream, or a file is too large.
    """
    found = re.search(r'boundary="?([^";,]+)"?', content_type, re.IGNORECASE)
    if found is None:
        raise SourceLost("the camera's stream names no boundary")
    boundary = b"--" + found[1].strip().removeprefix("--").encode("latin-1")
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while (part := _take(buffer, boundary)) is not None:
            if part:
                yield part
        if len(buffer) > MAX_FILE_BYTES + _MAX_HEADER_BYTES:
            raise SourceLost(f"a picture of the camera's stream has over {MAX_FILE_BYTES:,} bytes")


def _take(buffer: bytearray, boundary: bytes) -> bytes | None:
    """Take a complete part out of the buffer; None if there is none yet."""
    start = buffer.find(boundary)
    headers_end = _HEADERS_END.search(buffer, start + len(boundary)) if start >= 0 else None
    if headers_end is None:
        if start >= 0 and len(buffer) - start > _MAX_HEADER_BYTES:
            raise SourceLost("a part of the camera's stream has no end of its headers")
        return None
    length = _LENGTH.search(buffer, start, headers_end.start())
    begin = headers_end.end()
    if length is not None:
        end = begin + int(length[1])
        if end > len(buffer):
            return None
    else:
        end = buffer.find(boundary, begin)
        if end < 0:
            return None
    part = bytes(buffer[begin:end])
    del buffer[:end]
    return part if length is not None else part.rstrip(b"\r\n-")
