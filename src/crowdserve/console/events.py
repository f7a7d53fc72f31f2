"""Server-sent events: what a page is told, for as long as it is open, compressed for who can read that.

A page is told of every count of every camera, in words that are the same each time.
"""

import asyncio
import json
import re
import time
import zlib
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from crowdserve.console.streams import Stream
from crowdserve.console.wall import Wall

MAX_READERS = 100
BEAT_SECONDS = 5.0
_REST_SECONDS = 0.3
_AGAIN_MILLISECONDS = 2000
_TOGETHER = 16
"""Events in one piece."""

_REFUSED = re.compile(r";q=0(\.0*)?$")
"""What an encoding ends with that must not be used (RFC 9110, section 12.4.2)."""

_FASTEST, _GZIP = 1, 31
"""zlib's level of compression, and its window with a gzip header."""

_AS_IT_COMES = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no", "vary": "accept-encoding"}
"""A proxy that gathers an answer before it passes it on, as nginx does, would keep pages waiting for ever."""


class Events:
    """The readers of a wall.

    Args:
        wall: It.
    """

    def __init__(self, wall: Wall) -> None:
        self._wall = wall
        self._readers = 0
        self._closing = False

    def close(self) -> None:
        """Let every reader go, soon."""
        self._closing = True
        self._wall.put("closing", "", True)

    def answer(self, request: Request) -> Response:
        """Tell one more reader, if there are not too many."""
        if self._readers >= MAX_READERS or self._closing:
            text = f"{self._readers} pages are open already; close some, or try again later"
            return Response(text, 503, {"retry-after": "10"}, "text/plain")
        self._readers += 1
        pieces, headers = self._tell(), _AS_IT_COMES
        if _takes_gzip(request):
            pieces, headers = _compressed(pieces), headers | {"content-encoding": "gzip"}
        return Stream(pieces, self._leave, headers=headers, media_type="text/event-stream")

    async def _leave(self) -> None:
        self._readers -= 1

    async def _tell(self) -> AsyncIterator[bytes]:
        version = 0
        yield b"retry: %d\n" % _AGAIN_MILLISECONDS + _event("beat", _now())
        while not self._closing:
            version, parts = self._wall.since(version)
            for begin in range(0, len(parts), _TOGETHER):
                yield b"".join(_event(kind, text) for kind, text in parts[begin : begin + _TOGETHER])
            yield _event("beat", _now())
            await asyncio.sleep(_REST_SECONDS)
            await self._wall.wait(version, BEAT_SECONDS)


def _takes_gzip(request: Request) -> bool:
    named = request.headers.get("accept-encoding", "").lower().replace(" ", "").split(",")
    return any(each == "gzip" or (each.startswith("gzip;") and not _REFUSED.search(each)) for each in named)


async def _compressed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Each piece so that it can be read when it has come."""
    packer = zlib.compressobj(_FASTEST, zlib.DEFLATED, _GZIP)
    async for piece in pieces:
        yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


def _event(kind: str, text: str) -> bytes:
    return f"event: {kind}\ndata: {text}\n\n".encode()


def _now() -> str:
    return json.dumps({"now": time.time()})
