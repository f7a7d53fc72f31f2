"""PNG files written chunk by chunk: 16-bit colours, which Pillow does not write, and chunks of their own."""

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

GREY, RGB, GREY_AND_ALPHA, RGBA = 0, 2, 4, 6
_COLOUR_TYPES = {1: GREY, 2: GREY_AND_ALPHA, 3: RGB, 4: RGBA}


def deep_png(values: npt.NDArray[Any], significant_bits: int | None = None) -> bytes:
    """A PNG of 16-bit samples [height, width] or [height, width, channels], with an sBIT chunk if bits are given."""
    height, width, *more = values.shape
    channels = (more or [1])[0]
    rows = values.astype(">u2").reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [
        (b"IHDR", head),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))),
        (b"IEND", b""),
    ]
    if significant_bits:
        chunks.insert(1, (b"sBIT", bytes([significant_bits]) * channels))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def opaque(colours: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values with a channel of full opacity behind them."""
    channels = colours if colours.ndim == 3 else colours[..., np.newaxis]
    return np.concatenate([channels, np.full_like(channels[..., :1], 65535)], axis=2)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
