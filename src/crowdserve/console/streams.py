"""Answers in pieces, of which something is to be known at their end."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Stream(StreamingResponse):
    """A response that says when it is over, however it ends: a client that has gone may never begin to read it.

    Args:
        content: The pieces.
        leave: Called at the end.
        status_code: As of any response.
        headers: As of any response.
        media_type: As of any response.
    """

    def __init__(
        self,
        content: AsyncIterable[bytes],
        leave: Callable[[], Awaitable[None]],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        super().__init__(_in_turn(content), status_code, headers, media_type)
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._leave()


async def _in_turn(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Pieces between which the event loop learns that the client has gone, before more is written to nobody."""
    async for piece in pieces:
        yield piece
        await asyncio.sleep(0)
