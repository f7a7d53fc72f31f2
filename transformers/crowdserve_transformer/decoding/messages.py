"""What the server and a decoding process say to each other: JSON lines, and after a job its file.

server   {"file_bytes": …, "max_pixels": …, "max_whole_pixels": …, "max_side_px": …, "with_scene": …} <file>
process  {"pixels": …, "needed_bytes": …, "scans": …, "is_held_whole": …}          the header is good
server   {"cpu_seconds": …}                                                        or {} to leave it
process  {"size": [width, height], "sent_size": …, "has_scene": …}                 the pixels are in the shared memory
   or    {"error": "InvalidImage", "message": …}                                   at any time instead

The file comes from a stranger, so a decoder that it broke may say anything: what it says is checked as such.
"""

from dataclasses import dataclass

import orjson

from crowdserve.errors import CrowdServeError, ImageTooLarge, InvalidImage

LONGEST_LINE_BYTES = 8192
_ERRORS: dict[str, type[CrowdServeError]] = {kind.__name__: kind for kind in (InvalidImage, ImageTooLarge)}


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with the file that follows."""

    file_bytes: int
    max_pixels: int
    max_whole_pixels: int
    max_side_px: int
    with_scene: bool


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
