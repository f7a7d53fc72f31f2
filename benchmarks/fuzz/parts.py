"""A file cut into its parts and joined again, with lengths and checksums right, so that edits reach the decoders."""

import re
import struct
import zlib
from collections.abc import Sequence

_PNG = b"\x89PNG\r\n\x1a\n"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\[\]{}:,"\s]+|\s+|"')
_BLOCK_BYTES = 32


def split(data: bytes) -> list[bytes]:
    """The parts of a file: chunks of PNG and WebP, segments of JPEG, tokens of JSON, equal blocks of anything else."""
    if data.startswith(_PNG):
        return [_PNG, *_png_chunks(data[len(_PNG) :])]
    if data.startswith(b"\xff\xd8"):
        return re.split(rb"(?=\xff[\xc0-\xcf\xd8-\xdf\xe0-\xef\xfe])", data)[1:]
    if data[:4] == b"RIFF":
        return [data[:12], *_riff_chunks(data[12:])]
    if data[:1] in (b"{", b"["):
        return _TOKEN.findall(data)
    return [data[start : start + _BLOCK_BYTES] for start in range(0, len(data), _BLOCK_BYTES)]


def join(parts: Sequence[bytes]) -> bytes:
    """A file of some parts."""
    if parts and parts[0] == _PNG:
        return _PNG + b"".join(map(_checked, parts[1:]))
    data = b"".join(parts)
    if data[:4] == b"RIFF" and len(data) >= 12:
        return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    return data


def _png_chunks(data: bytes) -> list[bytes]:
    chunks = []
    while data:
        end = 12 + int.from_bytes(data[:4], "big")
        chunks.append(data[:end])
        data = data[end:]
    return chunks


def _checked(chunk: bytes) -> bytes:
    """A chunk of PNG with the length and the checksum of what it holds."""
    if len(chunk) < 12:
        return chunk
    body = chunk[4:-4]
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _riff_chunks(data: bytes) -> list[bytes]:
    chunks = []
    while data:
        size = int.from_bytes(data[4:8], "little")
        end = 8 + size + size % 2
        chunks.append(data[:end])
        data = data[end:]
    return chunks
