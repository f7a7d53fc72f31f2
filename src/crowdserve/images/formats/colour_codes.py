"""Code points of ITU-T H.273 by which a PNG, AVIF or HEIC says in which colours it is, without a profile."""

import struct

from crowdserve.images.formats.png import chunks_before_pixels

_OF_BOXES = b"colrnclx"

Codes = tuple[int, int]
"""The code points of the primaries and of the transfer characteristics."""


def png_codes(data: bytes) -> Codes | None:
    """Those of a PNG's chunk `cICP`; None if it has none."""
    found = (content for kind, content in chunks_before_pixels(data) if kind == b"cICP" and len(content) >= 2)
    return next(((content[0], content[1]) for content in found), None)


def box_codes(data: bytes) -> Codes | None:
    """Those of the first colour box of an AVIF or HEIC that has some; None if none has."""
    found = _of_boxes(data, 2)
    return (found[0], found[1]) if found else None


def stated_codes(data: bytes) -> str | None:
    """All code points of that box, for a message."""
    found = _of_boxes(data, 3)
    return "primaries {}, transfer {}, matrix {}".format(*found) if found else None


def _of_boxes(data: bytes, numbers: int) -> tuple[int, ...] | None:
    at = data.find(_OF_BOXES)
    found = data[at + len(_OF_BOXES) : at + len(_OF_BOXES) + 2 * numbers] if at >= 0 else b""
    return struct.unpack(f">{numbers}H", found) if len(found) == 2 * numbers else None
