"""Code points of ITU-T H.273 by which a PNG, AVIF or HEIC says in which colours it is, without a profile."""

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
    at = data.find(_OF_BOXES)
    codes = data[at + len(_OF_BOXES) : at + len(_OF_BOXES) + 4] if at >= 0 else b""
    return (int.from_bytes(codes[:2], "big"), int.from_bytes(codes[2:], "big")) if len(codes) == 4 else None
