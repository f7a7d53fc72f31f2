"""The segments of a JPEG: how many scans it has, whether it must be held whole, and where it ends."""

import re
from dataclasses import dataclass, field

END_OF_IMAGE = b"\xff\xd9"

_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
_JPEG_LS = 0xF7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS}  # less tables, an extension, conditioning
_NUMBER_OF_LINES = 0xDC
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_FIRST_ARITHMETIC = 0xC9
_NOT_DECODED = {
    _JPEG_LS: "a JPEG-LS",
    0xCB: "a lossless one of arithmetic coding",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "a hierarchical one"),
}
_RESTART_INTERVAL = 0xDD
_RESERVED_UP_TO = 0xBF
_MARKER = re.compile(rb"\xff([^\x00\xff\x01\xd0-\xd7])")
"""A marker, among bytes that are none; less those that have no segment and end nothing."""

_MOST_SEGMENTS, _MOST_HEADER_BYTES, _MOST_EXIF_SEGMENTS = 4096, 20 << 20, 64
_MOST_GAP_BYTES = 1 << 16
"""Of a header, which is read byte by byte, and Exif again with each of its segments.

A large one has a profile of 255 segments, a map of depth, or a second picture in XMP.
"""

_MOST_ZEROS = 2
"""That a scan ends with; more are what a camera fills its buffer with, or what a download left empty."""

_LAST_COEFFICIENT = 63
_PIECE_BYTES = 2**16

_NOISE = bytes(0xFE - step * 97 % 0xFD for step in range(128))
"""Bytes without a marker among them."""

_LEFT_OUT = bytes(16)
"""As many zeros as arithmetic encoders leave out at the end of a scan, as decoders take what is missing for zeros.

Most photos lack none or a few, those whose lower part is of one colour up to 16.
"""

_Component = tuple[int, int]
"""Its name, and how many of that name come before it in a scan: some encoders give all of them one."""


@dataclass(slots=True)
class JpegLayout:
    """The first picture of a JPEG file.

    Attributes:
        end: Where it ends: behind its end marker, or where there is no more of it.
        has_end: Whether it has that marker.
        scans: Its scans, at most.
        bits: Of a sample.
        is_progressive: Whether each scan refines the picture.
        not_decoded: What it is, if it is coded in a way that no decoder in use takes.
        is_arithmetic: Whether its data are coded arithmetically, which nearly no encoder does.
        height_at: Where in the file its height stands; 0 if that is known there, as it nearly always is.
        late_height: The height as it is told behind the first scan, big-endian; empty if it is not.
        components: Of a pixel.
        first_scan_components: Of them, in the first scan.
        has_restarts: Whether markers divide its scans, at which a decoder can begin anew.
        last_scan: Where the data of the last scan begin.
        is_overlong: Whether its header is longer than any that makes sense; what follows was not read then.
        content_end: Where they end: at the next marker, whatever it is, or where there is no more of the picture.
    """

    end: int
    has_end: bool = False
    scans: int = 0
    bits: int = 8
    is_progressive: bool = False
    not_decoded: str | None = None
    is_arithmetic: bool = False
    height_at: int = 0
    late_height: bytes = b""
    components: int = 0
    first_scan_components: int = 0
    has_restarts: bool = False
    last_scan: int = 0
    content_end: int = 0
    is_overlong: bool = False
    _segments: int = 0
    _exif_segments: int = 0
    _gap_bytes: int = 0
    _begun: set[_Component] = field(default_factory=set)
    _refined: set[tuple[_Component, bool]] = field(default_factory=set)

    @property
    def is_held_whole(self) -> bool:
        """Whether it has to be read to its end before a row of it is known: each scan has a part of every pixel."""
        return self.is_progressive or self.first_scan_components < self.components

    @property
    def lacks_colours(self) -> bool:
        """Whether a component is in no scan, or only in one that refines it: its colour is unknown."""
        return len(self._begun) < self.components

    @property
    def lacks_scans(self) -> bool:
        """Whether scans are missing that a progressive picture of full quality ends with."""
        return self.is_progressive and len(self._refined) < 2 * self.components

    def add_segment(self, segment: bytes, gap_bytes: int, at: int) -> None:
        """Take note of any segment, which ends somewhere, some bytes behind the one before."""
        self._segments += 1
        self._exif_segments += segment[2:6] == b"Exif"
        is_long = False
        if not self.scans:
            self._gap_bytes += gap_bytes
            is_long = at > _MOST_HEADER_BYTES or self._gap_bytes > _MOST_GAP_BYTES
        self.is_overlong = is_long or self._segments > _MOST_SEGMENTS or self._exif_segments > _MOST_EXIF_SEGMENTS

    def add_frame(self, marker: int, segment: bytes, at: int) -> None:
        """Take note of the header of the frame, which stands somewhere."""
        if len(segment) > 7:
            self.is_progressive, self.not_decoded = marker in _PROGRESSIVE, _NOT_DECODED.get(marker)
            self.is_arithmetic = marker >= _FIRST_ARITHMETIC
            self.bits, self.components = segment[2], segment[7]
            self.height_at = 0 if any(segment[3:5]) else at + 3

    def add_scan(self, segment: bytes) -> None:
        """Take note of the header of a scan."""
        components = segment[2] if len(segment) > 2 else 0
        self.scans += 1
        if self.scans == 1:
            self.first_scan_components = components
        ids, (first, last, precision) = segment[3 : 3 + 2 * components : 2], segment[-3:].rjust(3, b"\0")
        names = {(name, ids.count(name, 0, place)) for place, name in enumerate(ids)}
        if first == 0 or not self.is_progressive:  # where the number has another meaning, or none
            self._begun |= names
        if precision & 0x0F == 0:  # down to the last bit
            self._refined |= {(name, False) for name in names if first == 0}
            self._refined |= {(name, True) for name in names if last == _LAST_COEFFICIENT}


def jpeg_layout(data: bytes) -> JpegLayout:
    """Read the segments of a JPEG; pictures in them, or behind it as phones append them, do not count."""
    layout, at = JpegLayout(len(data)), 2
    while not layout.is_overlong and (found := _MARKER.search(data, at)):
        marker, gap_bytes, at = found[1][0], found.start() - at, found.end()
        layout.content_end = layout.content_end or (found.start() if layout.scans else 0)
        if marker in {_END_OF_IMAGE, _START_OF_IMAGE} or marker <= _RESERVED_UP_TO:
            layout.has_end = marker == _END_OF_IMAGE
            layout.end = at if layout.has_end else found.start()
            break
        segment = data[at : at + max(2, int.from_bytes(data[at : at + 2], "big"))]
        layout.add_segment(segment, gap_bytes, at + len(segment))
        if marker in _FRAMES:
            layout.add_frame(marker, segment, at)
        elif marker == _START_OF_SCAN:
            layout.add_scan(segment)
            layout.last_scan, layout.content_end = at + len(segment), 0
        elif marker == _NUMBER_OF_LINES and layout.scans == 1:
            layout.late_height = segment[2:4]
        elif marker == _RESTART_INTERVAL:
            layout.has_restarts = any(segment[2:])
        at += len(segment)
    layout.content_end = layout.content_end or layout.end
    return layout


def with_height(data: bytes, layout: JpegLayout) -> bytes:
    """The file with its height in its frame, where decoders look for it; the file itself if it is there already.

    Encoders that do not know it when they begin, as of line cameras, tell it behind the first scan.
    """
    at = layout.height_at
    return b"".join([data[:at], layout.late_height, data[at + 2 :]]) if at and len(layout.late_height) == 2 else data


def unended(data: bytes, layout: JpegLayout) -> memoryview:
    """The first picture without its end marker and what stands before it, or what a camera filled its buffer with.

    A marker after data that are cut would end them, and a decoder makes up what is missing.
    """
    return memoryview(data)[: _content_bytes(data, layout)]


def ended(data: bytes, layout: JpegLayout) -> bytes:
    """The first picture with an end marker."""
    return b"".join([unended(data, layout), END_OF_IMAGE])


def next_restart(data: bytes, layout: JpegLayout) -> bytes:
    """The restart marker that would come next in the last scan, had it another: they come in a cycle of eight."""
    places = [data.rfind(_restart(number), layout.last_scan, _content_bytes(data, layout)) for number in range(8)]
    return _restart(places.index(max(places)) + 1 if max(places) >= 0 else 0)


def continued(data: bytes, layout: JpegLayout) -> bytes:
    """The first picture with noise before its end marker, which belongs to no pixel if all of them are there.

    Restart markers stand in the noise: it is read wherever a decoder lacks pixels.
    """
    first = next_restart(data, layout)[1]
    noise = b"".join(_restart(first + step) + _NOISE for step in range(8))
    left_out = _LEFT_OUT if layout.is_arithmetic else b""
    return b"".join([unended(data, layout), left_out, _NOISE, noise, END_OF_IMAGE])


def _restart(number: int) -> bytes:
    return bytes((0xFF, 0xD0 + number % 8))


def _content_bytes(data: bytes, layout: JpegLayout) -> int:
    end = layout.content_end
    if layout.has_end or end < layout.end:
        return end  # zeros before it may be pixels: those of one colour, in own tables
    zeros = _length_behind(data, end, b"\0")
    end -= zeros if zeros > _MOST_ZEROS else 0
    return end - _length_behind(data, end, b"\xff")  # of a marker that was cut in two


def _length_behind(data: bytes, end: int, value: bytes) -> int:
    """How many bytes before a place have some value."""
    start = end
    while start > 0:
        piece = data[max(0, start - _PIECE_BYTES) : start]
        kept = len(piece.rstrip(value))
        start -= len(piece) - kept
        if kept:
            break
    return end - start
