"""What a JPEG 2000 says: how often it can be halved while it is read, how deep its samples are, its ICC profile.

And whether it has all of its tiles: its decoder paints those black that are not there, and tells nobody.
"""

import struct
from collections.abc import Iterator

CODESTREAM = b"\xff\x4f\xff\x51"
"""Its start: two markers, of itself and of the size."""

_CODING_STYLE, _STYLE_OF_A_COMPONENT, _START_OF_TILE = 0xFF52, 0xFF53, 0xFF90
_LEVELS_AT = 9
_SIZE_AT = 8
_PART_BYTES = 12
_DEPTH_AT = 42
_END, _END_OF_CODESTREAM = b"\xff\xd9", 0xFFD9

_HEADER, _COLOURS, _BY_PROFILE, _COLOURS_BYTES = b"jp2h", b"colr", {2, 3}, 3
"""The box of headers, the one of colours in it, the methods that have a profile, and what stands before it there."""

_BOX_BYTES, _LONG_LENGTH_BYTES = 8, 8


def ended(data: bytes) -> bytes:
    """The file with an end marker, without which its decoder takes it for cut; it counts the bytes of tiles itself."""
    return data if data.endswith(_END) else data + _END


def sample_bits(data: bytes) -> int:
    """Bits of a sample of the first component; 0 if that is not said."""
    start = data.find(CODESTREAM)
    return (data[start + _DEPTH_AT] & 0x7F) + 1 if 0 <= start < len(data) - _DEPTH_AT else 0


def halvings(data: bytes) -> int:
    """How often all components can be halved; 0 if they differ in that, or it is not said."""
    start, levels = data.find(CODESTREAM), 0
    at = start + 2
    while start >= 0 and at + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker in {_STYLE_OF_A_COMPONENT, _START_OF_TILE} or marker < 0xFF00:
            return levels if marker == _START_OF_TILE else 0
        if marker == _CODING_STYLE and at + _LEVELS_AT < len(data):
            levels = data[at + _LEVELS_AT]
        at += 2 + length
    return 0


def lacks_tiles(data: bytes) -> bool:
    """Whether some of the tiles, or parts of one that says how many it has, are not there at all."""
    start = data.find(CODESTREAM)
    if start < 0 or start + _DEPTH_AT > len(data):
        return False
    right, bottom, _, _, width, height, left, top = struct.unpack_from(">8I", data, start + _SIZE_AT)
    if not (width and height):
        return False
    seen: dict[int, int] = {}
    announced: dict[int, int] = {}
    for tile, parts in _parts_of_tiles(data, start):
        seen[tile] = seen.get(tile, 0) + 1
        announced[tile] = max(parts, announced.get(tile, 0))
    tiles = -(-(right - left) // width) * -(-(bottom - top) // height)
    return len(seen) < tiles or any(seen[tile] < parts for tile, parts in announced.items())


def _parts_of_tiles(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    """The tile of each part of one, and of how many parts it says that its tile consists; 0 if that is not said."""
    at = start + 2
    while at + _PART_BYTES <= len(data):
        marker, length, tile, part_bytes, _, parts = struct.unpack_from(">HHHIBB", data, at)
        if marker == _START_OF_TILE:
            yield tile, parts
            if not part_bytes:  # it goes to the end
                return
            at += max(part_bytes, _PART_BYTES)
        elif marker > 0xFF00 and marker != _END_OF_CODESTREAM:
            at += 2 + length
        else:
            return


def profile(data: bytes) -> bytes | None:
    """The ICC profile in the headers of a file with boxes; None if it has none."""
    headers = (places for kind, *places in _boxes(data, 0, len(data)) if kind == _HEADER)
    for start, stop in headers:
        for kind, at, end in _boxes(data, start, stop):
            if kind == _COLOURS and at < end and data[at] in _BY_PROFILE:
                return data[at + _COLOURS_BYTES : end]
    return None


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The kinds of boxes between two places, and where the content of each begins and ends."""
    while at + _BOX_BYTES + _LONG_LENGTH_BYTES <= end:
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + _BOX_BYTES
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start)
            start += _LONG_LENGTH_BYTES
        stop = min(at + length, end) if length else end
        if stop < start:
            return
        yield kind, start, stop
        at = stop
