"""Pages of a TIFF, and camera raw files, most of which are TIFFs too.

A TIFF is a chain of directories, one for each page, and each may have further ones below it. Cameras and scanners put a
small copy of the picture into the first directory; Pillow decodes that one.
"""

import io
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from crowdserve.images.formats.signatures import CAMERA_RAW, EXPORT_RAW, Kind

HEADERS = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"II\0*", b"MM*\0"}
"""First bytes: the byte order and the version, 42 or 43 for BigTIFF; the last two are a fault of some writers."""

MAX_PAGES = 256
"""Pages that are looked at."""

_UNSIGNED, _FLOATS = 1, 3
"""Sample formats: whole numbers from zero up, floats."""

_NOT_DECODED = {
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
    22610: "JPEG XR",
    34887: "LERC",
    34933: "PNG",
    34934: "JPEG XR",
    50001: "WebP",
}
"""Compressions that libtiff leaves to libraries which Pillow comes without."""

_MINIMUM_IS_WHITE = 0
"""The photometric interpretation of greys whose zero is white."""

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
_MINIMUM, _MAXIMUM, _SUB_DIRECTORIES, _SAMPLE_FORMAT, _SMINIMUM, _SMAXIMUM = 280, 281, 330, 339, 340, 341
_DNG_VERSION = 50706
_WANTED = frozenset(
    {_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC}
    | {_MINIMUM, _MAXIMUM, _SUB_DIRECTORIES, _SAMPLE_FORMAT, _SMINIMUM, _SMAXIMUM, _DNG_VERSION}
)

_RAW_PHOTOMETRIC = {32803, 34892}
"""A colour filter's mosaic; linear raw values."""

_RAW_COMPRESSION = {32767, 32769, 32770, 34713, 65000, 65535}
"""Sony's, packed samples, Samsung's, Nikon's, Kodak's, Pentax's."""

_FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""Types of values, as `struct` writes them."""

_MAX_VALUES = 1024
"""Values of one entry that are read; the entries that are wanted here have few."""

_DNG = Kind("a camera raw file (DNG)", EXPORT_RAW)
_CR2 = Kind("a camera raw file (Canon CR2)", EXPORT_RAW)
_IIQ = Kind("a camera raw file (Phase One IIQ)", EXPORT_RAW)


@dataclass(frozen=True, slots=True)
class Page:
    """A directory of a TIFF.

    Attributes:
        offset: Where it stands in the file.
        values: Of its entries that matter here, by tag; finite ones.
        places: Where in the file the first value of each stands.
    """

    offset: int
    values: Mapping[int, tuple[float, ...]] = field(repr=False)
    places: Mapping[int, int] = field(repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored, pixels; zeros if the directory does not say."""
        return int(self._first(_WIDTH, 0)), int(self._first(_HEIGHT, 0))

    @property
    def pixels(self) -> int:
        """Width x height."""
        return self.size[0] * self.size[1]

    @property
    def is_secondary(self) -> bool:
        """Whether it is said to be a smaller copy of another page, or a mask."""
        return bool(int(self._first(_SUBFILE, 0)) & 0b101) or self._first(_OLD_SUBFILE, 1) == 2

    @property
    def is_raw(self) -> bool:
        """Whether its pixels are a sensor's."""
        return self._first(_PHOTOMETRIC, 0) in _RAW_PHOTOMETRIC or self._first(_COMPRESSION, 0) in _RAW_COMPRESSION

    @property
    def is_white_at_zero(self) -> bool:
        """Whether zero is white, as in many scans."""
        return self._first(_PHOTOMETRIC, 1) == _MINIMUM_IS_WHITE

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        return int(self._first(_BITS, 1))

    @property
    def not_decoded(self) -> str | None:
        """Its compression, if no decoder in use takes it."""
        name = _NOT_DECODED.get(int(self._first(_COMPRESSION, 1)))
        return f"compressed as {name}" if name else None

    @property
    def has_floats(self) -> bool:
        """Whether its samples are floats."""
        return self._first(_SAMPLE_FORMAT, _UNSIGNED) == _FLOATS

    @property
    def is_unsigned(self) -> bool:
        """Whether its samples are whole numbers without a sign."""
        return self._first(_SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED

    @property
    def sample_range(self) -> tuple[float, float] | None:
        """The least and the largest value that samples are said to have; None if that is not said, or cannot be.

        The older of the two ways to say it has a default, the range of all bits, which says nothing.
        """
        if _SMAXIMUM in self.values:
            low, high = self._range(_SMINIMUM, _SMAXIMUM)
        else:
            low, high = self._range(_MINIMUM, _MAXIMUM)
            if high >= 2**self.bits - 1:
                return None
        return (low, high) if low < high else None

    def _range(self, minimum: int, maximum: int) -> tuple[float, float]:
        return min(self.values.get(minimum, (0,))), max(self.values.get(maximum, (0,)))

    def _first(self, tag: int, default: float) -> float:
        return self.values.get(tag, (default,))[0]


def raw_kind(data: bytes) -> Kind | None:
    """Which camera raw file a TIFF is; None if it is none."""
    if data[8:10] == b"CR":
        return _CR2
    if data[8:12] in {b"IIII", b"MMMM"}:
        return _IIQ
    found = pages(data)
    if any(_DNG_VERSION in page.values for page in found):
        return _DNG
    return CAMERA_RAW if any(page.is_raw for page in found) else None


def best_page(data: bytes) -> Page | None:
    """The largest page that is no copy and no mask, the first of such; None if there is none at all."""
    found = pages(data)
    whole = [page for page in found if not page.is_secondary and page.pixels] or found
    return max(whole, key=lambda page: page.pixels, default=None)


def big_endian_bigtiff(data: bytes) -> str | None:
    """What a file is that Pillow takes for a classic TIFF; None for others."""
    return "a big-endian BigTIFF" if data.startswith(b"MM\0+") else None


def beginning_with(data: bytes, page: Page) -> io.BytesIO:
    """The file with a page as its first one; its greys have black at zero, whatever they had.

    Pillow decodes the first page, and turns over greys of 8 bits but not deeper ones.
    """
    order, is_big = _layout(data)
    file = io.BytesIO(data)
    if page.offset != next(_chain_start(data)):
        file.seek(8 if is_big else 4)
        file.write(struct.pack(order + ("Q" if is_big else "I"), page.offset))
    if page.is_white_at_zero and page.bits > 8 and _PHOTOMETRIC in page.places:
        file.seek(page.places[_PHOTOMETRIC])
        file.write(struct.pack(order + "H", 1))
    file.seek(0)
    return file


def pages(data: bytes) -> list[Page]:
    """The directories of a TIFF that can be read, `MAX_PAGES` at most, each before those below it."""
    found: dict[int, Page] = {}
    waiting = list(_chain_start(data))
    while waiting and len(found) < MAX_PAGES:
        offset = waiting.pop()
        if offset in found:
            continue
        try:
            page, following = _read(data, offset)
        except struct.error:  # it reaches over the end of the file
            continue
        found[offset] = page
        below = [int(start) for start in page.values.get(_SUB_DIRECTORIES, ())]
        waiting += [*([following] if following else []), *reversed(below)]
    return list(found.values())


def _layout(data: bytes) -> tuple[str, bool]:
    """The byte order, as `struct` writes it, and whether it is a BigTIFF."""
    return ("<" if data[:2] == b"II" else ">"), 43 in data[2:4]


def _chain_start(data: bytes) -> Iterator[int]:
    order, is_big = _layout(data)
    try:
        yield struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)[0]
    except struct.error:
        return


def _read(data: bytes, offset: int) -> tuple[Page, int]:
    """A directory, and where the next one of the chain stands, 0 if it is the last."""
    order, is_big = _layout(data)
    count_format, next_format = ("Q", "Q") if is_big else ("H", "I")
    entry = struct.Struct(order + ("HHQ8s" if is_big else "HHI4s"))
    if offset >= len(data):
        raise struct.error("no directory there")
    (count,) = struct.unpack_from(order + count_format, data, offset)
    start = offset + struct.calcsize(order + count_format)
    end = start + count * entry.size
    if end > len(data):
        raise struct.error("cut")
    places: dict[int, int] = {}
    values: dict[int, tuple[float, ...]] = {}
    for at in range(start, end, entry.size):
        tag, kind, length, inline = entry.unpack_from(data, at)
        if tag in _WANTED and kind in _FORMATS and length:
            place = at + entry.size - len(inline)
            if length * struct.calcsize(order + _FORMATS[kind]) > len(inline):
                (place,) = struct.unpack(order + next_format, inline)
            form = f"{order}{min(length, _MAX_VALUES)}{_FORMATS[kind]}"
            if place + struct.calcsize(form) <= len(data):
                found = struct.unpack_from(form, data, place)
                if all(map(math.isfinite, found)):
                    values[tag], places[tag] = found, place
    following = struct.unpack_from(order + next_format, data, end)[0] if end < len(data) else 0
    return Page(offset, values, places), following
