"""The size of a WebP, before Pillow makes room for it."""

import struct

WEBP_HEADER_BYTES = 30
"""What is read of a file."""


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in the header of a WebP file; None if there is none.

    Pillow allocates two whole canvases when it opens one, before it tells their size.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    head = data[:WEBP_HEADER_BYTES].ljust(WEBP_HEADER_BYTES, b"\0")
    match head[12:16]:
        case b"VP8X":
            return (int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1)
        case b"VP8L":
            (packed,) = struct.unpack_from("<I", head, 21)
            return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF
    return None
