"""What the server and a decoding process say to each other: JSON lines, and after a job its file.

server   {"file_bytes": …, "max_pixels": …, "max_side_px": …, "with_scene": …} <file>
process  {"pixels": …, "needed_bytes": …, "scans": …}                              the header is good
server   {"cpu_seconds": …}                                                        or {} to leave it
process  {"size": [width, height], "has_scene": …, "sent_size": […]}               the pixels are in the shared memory
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
    max_side_px: int
    with_scene: bool


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a file says: its pixels, the memory that decoding it takes at most, a JPEG's scans."""

    pixels: int
    needed_bytes: int
    scans: int = 1


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to decode: processor time of the process; None if it shall not."""

    cpu_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """The width and height of the pixels in the shared memory, and whether the scene classifier's input follows.

    The last are the width and height of the photo that was sent, turned upright.
    """

    size: tuple[int, int]
    has_scene: bool
    sent_size: tuple[int, int]


def header_of(line: bytes) -> Header:
    """The header in a line from a process.

    Raises:
        CrowdServeError: The error that it reports.
        ValueError: If it is neither.
    """
    found = _content(line)
    return Header(_whole(found.get("pixels")), _whole(found.get("needed_bytes")), _whole(found.get("scans", 1)))


def decoded_of(line: bytes, max_side_px: int) -> Decoded:
    """The result in a line from a process.

    Raises:
        CrowdServeError: The error that it reports.
        ValueError: If it is neither.
    """
    found = _content(line)
    (width, height), sent = _size(found, "size"), _size(found, "sent_size")
    if not 0 < width <= max_side_px or not 0 < height <= max_side_px:
        raise ValueError(f"{width}x{height} px")
    if min(sent) < 1:
        raise ValueError(f"made of {sent[0]}x{sent[1]} px")
    return Decoded((width, height), found.get("has_scene") is True, sent)


def _content(line: bytes) -> dict[str, object]:
    found = orjson.loads(line)
    if not isinstance(found, dict):
        raise ValueError("no object")
    if "error" in found:
        raise _ERRORS.get(str(found["error"]), InvalidImage)(str(found.get("message")))
    return found


def _size(found: dict[str, object], name: str) -> tuple[int, int]:
    sides = found.get(name)
    width, height = map(_whole, sides if isinstance(sides, list) else ())
    return width, height


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no whole number")
    return value
