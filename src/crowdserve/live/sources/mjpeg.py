"""A stream of JPEG files in one HTTP answer: multipart/x-mixed-replace, or one file after the other.

Cameras disagree about all of it: the boundary comes with and without its dashes, quotes and name, Content-Length is
left out or wrong, and sound, texts and events stand between the pictures. So a part is found by its boundary line; a
JPEG ends where it says so and a boundary follows, or by its length if one follows there; anything else by its length,
or at the next boundary.
Source: RFC 2046, section 5.1; the type is Netscape's of 1995.
"""

import re
from collections.abc import Iterable, Iterator

from crowdserve.images.formats.kinds import kind_of
from crowdserve.live.errors import SourceLost
from crowdserve.live.sources.stills import MAX_FILE_BYTES

_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TYPE = re.compile(rb"^content-type:[ \t]*([^\s;]+)", re.IGNORECASE | re.MULTILINE)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_FIRST_LINE = re.compile(rb"\s*--([^\r\n]{1,200}?)[ \t]*\r?\n")
_MAX_HEADER_BYTES = 16 * 2**10
_DASH, _LINE_END = ord("-"), ord("\n")
_MOST_DASHES = 8
_START, _END = b"\xff\xd8", b"\xff\xd9"
_NEXT_FILE = re.compile(rb"\xff\xd9[\r\n\0]*(?=\xff\xd8\xff)")
"""Where one JPEG ends and another begins; a small picture inside of one is followed by something else."""


def jpeg_parts(pieces: Iterable[bytes], content_type: str) -> Iterator[bytes]:
    """The files of a multipart stream.

    Args:
        pieces: The body as it arrives.
        content_type: The answer's media type, which names the boundary, or does not.

    Raises:
        SourceLost: If it is no such stream, or a file is too large.
    """
    found = re.search(r"""boundary\s*=\s*["']?([^"';,]+)["']?""", content_type, re.IGNORECASE)
    boundary = None if found is None else _Boundary(found[1].strip().encode("latin-1", "replace"))
    buffer, is_first = bytearray(), True
    for piece in pieces:
        buffer += piece
        if is_first and (line := _FIRST_LINE.match(buffer)):
            is_first = False
            if boundary is None or not boundary.find(buffer, 0, line.end()):  # it is another than was told
                boundary = _Boundary(line[1])
        while boundary is not None and (part := _take(buffer, boundary)) is not None:
            if part:
                yield part
        if len(buffer) > MAX_FILE_BYTES + _MAX_HEADER_BYTES:
            raise SourceLost(f"a picture of the camera's stream has over {MAX_FILE_BYTES:,} bytes")
    if boundary is None:
        raise SourceLost("the camera's stream names no boundary")


def jpeg_files(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """JPEG files that stand one behind the other; what is left at the end is a file, too.

    Raises:
        SourceLost: If one is too large.
    """
    buffer = bytearray()
    for piece in pieces:
        searched = max(0, len(buffer) - 16)
        buffer += piece
        while end := _NEXT_FILE.search(buffer, searched):
            yield bytes(buffer[: end.start() + len(_END)])
            del buffer[: end.end()]
            searched = 0
        if len(buffer) > MAX_FILE_BYTES:
            raise SourceLost(f"the camera's picture has over {MAX_FILE_BYTES:,} bytes")
    if buffer:
        yield bytes(buffer)


class _Boundary:
    """What stands between parts: behind dashes, of which cameras write more or fewer than they should, or in a line.

    Args:
        name: As the camera tells it, or writes it behind two dashes.

    Attributes:
        least_bytes: How many bytes behind a part tell whether it is there.
    """

    def __init__(self, name: bytes) -> None:
        self._bare = name.strip(b"-") or name
        self._rest = re.compile(rb"(?:--)?[ \t]*\r?\n")
        self.least_bytes = len(b"\r\n--") + len(self._bare)

    def find(self, buffer: bytearray, begin: int, end: int | None = None) -> tuple[int, int] | None:
        """Where the next one begins and ends; None if there is none."""
        at = buffer.find(self._bare, begin, len(buffer) if end is None else end)
        while at >= 0:
            start, behind = at, at + len(self._bare)
            while start > begin and buffer[start - 1] == _DASH:
                start -= 1
            is_line = start == 0 or buffer[start - 1] == _LINE_END
            if at - start >= 2 or (is_line and self._rest.match(buffer, behind)):
                return start, behind
            at = buffer.find(self._bare, behind, len(buffer) if end is None else end)
        return None

    def begins(self, buffer: bytearray, at: int) -> bool:
        """Whether there is one at a place."""
        found = self.find(buffer, at, at + len(self._bare) + _MOST_DASHES)
        return found is not None and found[0] == at


def _take(buffer: bytearray, boundary: _Boundary) -> bytes | None:
    """Take a complete part out of the buffer, empty if it is no picture; None if there is none yet."""
    found = boundary.find(buffer, 0)
    headers_end = _HEADERS_END.search(buffer, found[1]) if found else None
    if found is None or headers_end is None:
        if found is not None and len(buffer) - found[0] > _MAX_HEADER_BYTES:
            raise SourceLost("a part of the camera's stream has no end of its headers")
        return None
    begin = headers_end.end()
    told = _LENGTH.search(buffer, found[0], headers_end.start())
    span = _span(buffer, begin, int(told[1]) if told else 0, boundary)
    if span is None:
        return None
    named = _TYPE.search(buffer, found[0], headers_end.start())
    kind = named[1] if named else b""
    part = bytes(buffer[begin : span[0]])
    del buffer[: span[1]]
    return part if _is_picture(part, kind) else b""


def _span(buffer: bytearray, begin: int, length: int, boundary: _Boundary) -> tuple[int, int] | None:
    """Where the part that begins there ends, and where the next one may begin; None if that has not come yet."""
    end = begin + length
    if buffer.startswith(_START, begin):
        if (found := _end_of_jpeg(buffer, begin, boundary)) is not None:
            return found
        if length and len(buffer) < end:
            return None
        told = buffer[begin:end].rstrip(b"\r\n\0")
        if told.endswith(_END):
            return begin + len(told), end
        if length and len(buffer) < end + boundary.least_bytes:
            return None
        if length and boundary.begins(buffer, _behind_newlines(buffer, end)):
            return end, end
    elif length:
        return (end, end) if len(buffer) >= end else None
    following = boundary.find(buffer, begin)
    if following is None:
        return None
    return begin + len(buffer[begin : following[0]].rstrip(b"\r\n-")), following[0]


def _end_of_jpeg(buffer: bytearray, begin: int, boundary: _Boundary) -> tuple[int, int] | None:
    """Where a JPEG ends and the boundary behind it begins, whatever its length is said to be."""
    at = buffer.find(_END, begin)
    while at >= 0:
        behind = at + len(_END)
        following = _behind_newlines(buffer, behind)
        if boundary.begins(buffer, following):
            return behind, following
        at = buffer.find(_END, behind)
    return None


def _behind_newlines(buffer: bytearray, at: int) -> int:
    while at < len(buffer) and buffer[at] in b"\r\n":
        at += 1
    return at


def _is_picture(part: bytes, kind: bytes) -> bool:
    """Whether a part is one, by its own first bytes or by what the camera calls it."""
    return bool(part) and (kind.lower().startswith(b"image/") or is_decoded(part))


def is_decoded(file: bytes) -> bool:
    """Whether a file begins as a picture does that can be decoded."""
    found = kind_of(file)
    return found is not None and found.pillow is not None
