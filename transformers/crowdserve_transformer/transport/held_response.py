"""An answer that is sent in pieces, each when the caller has taken those before, and accounted for until then."""

import asyncio
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from crowdserve_transformer.budget import AnswerHold

_PIECE_BYTES = 256 * 2**10
_PATIENCE_SECONDS = 60.0
_LEAST_BYTES_PER_SECOND = 512 * 2**10
"""Of an answer that is still not taken after `_PATIENCE_SECONDS`: the memory of large ones is wanted by others."""


class HeldResponse(Response):
    """A response whose memory is held until it is sent.

    Args:
        content: The body.
        headers: HTTP headers.
        hold: The body's memory.
    """

    def __init__(self, content: bytes, headers: Mapping[str, str], hold: AnswerHold) -> None:
        super().__init__(content, headers=headers)
        self._hold = hold
        hold.shrink(len(content))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or as much as the caller takes in time."""
        seconds = _PATIENCE_SECONDS + len(self.body) / _LEAST_BYTES_PER_SECOND
        try:
            async with asyncio.timeout(seconds):
                await self._send(send)
        except TimeoutError:
            pass  # the server closes a connection whose answer is not whole
        finally:
            self._hold.release()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, max(1, len(body)), _PIECE_BYTES):
            end = start + _PIECE_BYTES
            await send({"type": "http.response.body", "body": bytes(body[start:end]), "more_body": end < len(body)})
            self._hold.shrink(max(0, len(body) - end))
