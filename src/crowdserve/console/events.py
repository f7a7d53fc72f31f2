"""Server-sent events: what a page is told, for as long as it is open."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

from starlette.responses import Response

from crowdserve.console.streams import Stream
from crowdserve.console.wall import Wall

MAX_READERS = 100
BEAT_SECONDS = 5.0
_REST_SECONDS = 0.3
_AGAIN_MILLISECONDS = 2000
_AS_IT_COMES = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
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

    def answer(self) -> Response:
        """Tell one more reader, if there are not too many."""
        if self._readers >= MAX_READERS or self._closing:
            text = f"{self._readers} pages are open already; close some, or try again later"
            return Response(text, 503, {"retry-after": "10"}, "text/plain")
        self._readers += 1
        return Stream(self._tell(), self._leave, headers=_AS_IT_COMES, media_type="text/event-stream")

    async def _leave(self) -> None:
        self._readers -= 1

    async def _tell(self) -> AsyncIterator[bytes]:
        version = 0
        yield b"retry: %d\n" % _AGAIN_MILLISECONDS
        yield _event("beat", _now())
        while not self._closing:
            version, parts = self._wall.since(version)
            for kind, text in parts:
                yield _event(kind, text)
            yield _event("beat", _now())
            await asyncio.sleep(_REST_SECONDS)
            await self._wall.wait(version, BEAT_SECONDS)


def _event(kind: str, text: str) -> bytes:
    return f"event: {kind}\ndata: {text}\n\n".encode()


def _now() -> str:
    return json.dumps({"now": time.time()})
