"""What the server and a decoding process say to each other: JSON lines, and after a job its file.

server   {"file_bytes": …, "max_pixels": …, "max_whole_pixels": …, "max_side_px": …, "with_scene": …,
          "granted_bytes": …, "cpu_seconds": …} <file>
process  {"pixels": …, "needed_bytes": …, "scans": …, "is_held_whole": …}          the header is good
server   {"cpu_seconds": …}                  or {} to leave it; nothing if the job allowed it already: most photos' way
process  {"size": [width, height], "sent_size": …, "has_scene": …}                 the pixels are in the shared memory
   or    {"error": "InvalidImage", "message": …}                                   at any time instead

The file comes from a stranger, so a decoder that it broke may say anything: what it says is checked as such.
"""

from dataclasses import dataclass

import orjson

from crowdserve.errors import CrowdServeError, ImageTooLarge, InvalidImage

LONGEST_LINE_BYTES = 8192
_ERRORS: dict[str, type[CrowdServeError]] = {kind.__name__: kind for kind in (InvalidImage, ImageTooLarge)}


SMALL_SHARE = 0.1
"""Photos up to this share of the largest are small."""

_ORDINARY_SCANS = 10
"""Of a progressive JPEG; one with more takes as much time as a photo with more pixels."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a file says.

    Attributes:
        pixels: Width x height.
        needed_bytes: The memory that decoding it takes at most.
        scans: Of a JPEG.
        is_held_whole: Whether all pixels are in memory at once.
    """

    pixels: int
    needed_bytes: int
    scans: int = 1
    is_held_whole: bool = True


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with the file that follows.

    Attributes:
        file_bytes: Its length.
        max_pixels: Largest photo.
        max_whole_pixels: Largest photo of which all pixels are in memory at once.
        max_side_px: Longest side to fit it within.
        with_scene: Whether the scene classifier's input is wanted.
        granted_bytes: Memory that it may take without being asked about.
        cpu_seconds: Processor time that it may take then.
    """

    file_bytes: int
    max_pixels: int
    max_whole_pixels: int
    max_side_px: int
    with_scene: bool
    granted_bytes: int
    cpu_seconds: float

    def share(self, header: Header) -> float:
        """The part of the largest photo of its kind that a photo is."""
        return header.pixels / (self.max_whole_pixels if header.is_held_whole else self.max_pixels)

    def is_small(self, header: Header) -> bool:
        """Whether a photo takes little time."""
        return self.share(header) * max(1.0, header.scans / _ORDINARY_SCANS) <= SMALL_SHARE

    def allows(self, header: Header) -> bool:
        """Whether a photo is decoded without being asked about."""
        return header.needed_bytes <= self.granted_bytes and self.is_small(header)


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to decode: processor time of the process; None if it shall not."""

    cpu_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was decoded.

    Attributes:
        size: Width and height of the pixels in the shared memory.
        sent_size: Those of the upright image in the file.
        has_scene: Whether the scene classifier's input follows.
    """

    size: tuple[int, int]
    sent_size: tuple[int, int]
    has_scene: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """What is wrong with a file: the name of an error, and its message."""

    error: str
    message: str


def encoded(message: Job | Header | Permit | Decoded | Failed) -> bytes:
    """A message as it is sent."""
    return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)


def header_of(line: bytes) -> Header:
    """The header in a line from a process.

    Raises:
        CrowdServeError: The error that it reports.
        ValueError: If it is neither.
    """
    found = _content(line)
    return Header(
        _whole(found.get("pixels")),
        _whole(found.get("needed_bytes")),
        _whole(found.get("scans", 1)),
        found.get("is_held_whole") is not False,
    )


def decoded_of(line: bytes, max_side_px: int) -> Decoded:
    """The result in a line from a process.

    Raises:
        CrowdServeError: The error that it reports.
        ValueError: If it is neither.
    """
    found = _content(line)
    width, height = _size(found.get("size"))
    if width > max_side_px or height > max_side_px:
        raise ValueError(f"{width}x{height} px")
    return Decoded((width, height), _size(found.get("sent_size")), found.get("has_scene") is True)


def _content(line: bytes) -> dict[str, object]:
    found = orjson.loads(line)
    if not isinstance(found, dict):
        raise ValueError("no object")
    if "error" in found:
        raise _ERRORS.get(str(found["error"]), InvalidImage)(str(found.get("message")))
    return found


def _size(value: object) -> tuple[int, int]:
    width, height = map(_whole, value if isinstance(value, list) else ())
    if not width or not height:
        raise ValueError(f"{width}x{height} px")
    return width, height


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no whole number")
    return value
