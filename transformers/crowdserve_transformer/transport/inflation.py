"""Compressed request bodies, inflated step by step as they arrive.

One byte can stand for a thousand. So no step makes more than a piece, each piece is accounted for before the next one
is made, and a body that grows far beyond what real ones do is refused.
"""

import zlib
from collections.abc import Iterator, Sequence

from crowdserve.errors import ImageTooLarge, InvalidRequest, UnsupportedEncoding, quoted

CODINGS = ("gzip", "deflate")
"""Content codings that are taken, and given in answers; `x-gzip` is another name of the first."""

PIECE_BYTES = 256 * 2**10
"""Most bytes of one step: a fraction of a millisecond's work."""

MAX_RATIO = 100
"""Most bytes that one compressed byte may stand for, beyond `FREE_BYTES`; JSON with photos in base64 has 1.4."""

FREE_BYTES = 8 * 2**20
"""A body of one colour, as tests send it, may inflate to this size whatever its ratio."""

_MAX_MEMBERS = 1000
"""Most gzip files in a row that one body may consist of."""

_ALIASES = {"x-gzip": "gzip"}
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "zlib": zlib.MAX_WBITS, "raw": -zlib.MAX_WBITS}


def inflater_of(content_encodings: Sequence[str]) -> "Inflater | None":
    """What undoes the content coding of a body; None if it has none.

    Args:
        content_encodings: The values of its Content-Encoding headers.

    Raises:
        UnsupportedEncoding: If it has one that is not taken, or several.
    """
    named = ",".join(content_encodings)
    codings = [coding for each in named.split(",") if (coding := each.strip().lower()) not in {"", "identity"}]
    if not codings:
        return None
    coding = _ALIASES.get(codings[0], codings[0])
    if len(codings) > 1 or coding not in CODINGS:
        raise UnsupportedEncoding(
            f"Content-Encoding {quoted(named)} is not supported; send the body uncompressed, or with one of "
            f"{', '.join(CODINGS)}"
        )
    return Inflater(coding)


class Inflater:
    """Inflates one body.

    Args:
        coding: One of `CODINGS`. Of the two things that clients call deflate, zlib's format and what is inside of it,
            the first two bytes tell which it is.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream: zlib._Decompress | None = None
        self._first = b""
        self._members = 0
        self._taken_bytes = self._made_bytes = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What more of the body stands for; each step makes at most `PIECE_BYTES`.

        Raises:
            ImageTooLarge: If it stands for too much.
            InvalidRequest: If it is not in that coding, or goes on after its end.
        """
        self._taken_bytes += len(data)
        data, self._first = self._first + data, b""
        if self._stream is None and len(data) < 2:
            self._first = data
            return
        try:
            yield from self._inflated(data)
        except zlib.error as err:
            raise InvalidRequest(
                f"the body is not {self._coding}, which its Content-Encoding says ({err}); send it uncompressed"
            ) from None

    def finish(self) -> None:
        """Check that the body ended where its coding does.

        Raises:
            InvalidRequest: If it ended before.
        """
        if self._stream is None or not self._stream.eof:
            raise InvalidRequest(f"the {self._coding} body ends early; send it whole")

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        stream, is_full = self._stream or self._begun(data), False
        while data or is_full:
            if stream.eof:
                stream = self._next(data)
            piece = stream.decompress(data, PIECE_BYTES)
            self._count(len(piece))
            is_full = len(piece) == PIECE_BYTES and not stream.eof
            data = stream.unused_data if stream.eof else stream.unconsumed_tail
            if piece:
                yield piece

    def _next(self, data: bytes) -> "zlib._Decompress":
        """The gzip file that follows the one that has ended."""
        if self._coding != "gzip" or self._members >= _MAX_MEMBERS or not data.startswith(b"\x1f"):
            raise InvalidRequest(f"{len(data):,} bytes or more follow the end of the {self._coding} body")
        return self._begun(data)

    def _begun(self, data: bytes) -> "zlib._Decompress":
        self._members += 1
        wrapping = "gzip" if self._coding == "gzip" else "zlib" if has_zlib_header(data) else "raw"
        self._stream = zlib.decompressobj(_WINDOW_BITS[wrapping])
        return self._stream

    def _count(self, made_bytes: int) -> None:
        self._made_bytes += made_bytes
        if self._made_bytes > max(FREE_BYTES, MAX_RATIO * self._taken_bytes):
            raise ImageTooLarge(
                f"the {self._coding} body inflates to over {MAX_RATIO} times its size; send it uncompressed"
            )


def has_zlib_header(data: bytes) -> bool:
    """Whether data begins with zlib's header: deflate, a window of at most 32 KiB, a multiple of 31 (RFC 1950)."""
    return data[0] & 0x0F == zlib.DEFLATED and data[0] >> 4 <= 7 and int.from_bytes(data[:2], "big") % 31 == 0
