"""Chunks of a PNG that Pillow does not tell of."""

from collections.abc import Iterator

_SIGNATURE_BYTES = 8
_MOST_BITS = 16


def significant_bits(data: bytes) -> int | None:
    """Most bits of a channel that the picture had before it was written into wider samples.

    None if it is not said, or more than a sample can have.
    """
    said = (max(content) for kind, content in chunks_before_pixels(data) if kind == b"sBIT" and content)
    return next((bits for bits in said if 0 < bits <= _MOST_BITS), None)


def chunks_before_pixels(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kind of each chunk up to the pixels, and its first four bytes."""
    at = _SIGNATURE_BYTES
    while (kind := data[at + 4 : at + 8]) not in {b"", b"IDAT", b"IEND"}:
        length = int.from_bytes(data[at : at + 4], "big")
        yield kind, data[at + 8 : at + 8 + min(length, 4)]
        at += 12 + length
