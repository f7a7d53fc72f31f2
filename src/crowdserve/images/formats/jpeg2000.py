"""What the codestream of a JPEG 2000 says: how often it can be halved while it is read, how deep its samples are."""

import struct

CODESTREAM = b"\xff\x4f\xff\x51"
"""Its start: two markers, of itself and of the size."""

_CODING_STYLE, _STYLE_OF_A_COMPONENT, _START_OF_TILE = 0xFF52, 0xFF53, 0xFF90
_LEVELS_AT = 9
_DEPTH_AT = 42
_END = b"\xff\xd9"


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
