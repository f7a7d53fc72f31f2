"""A limit on request bodies that counts the bytes received: a Content-Length may be missing or wrong."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crowdserve.errors import ImageTooLarge

_SWALLOWED_BODIES = 4
"""After a refusal this many times the limit is read and discarded: a client that is still sending would otherwise see a
broken connection in place of the answer."""


class BodyLimit:
    """ASGI middleware under which reading a body beyond a limit raises `ImageTooLarge`."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, _LimitedBody(receive, self._max_body_bytes), send)


class _LimitedBody:
    def __init__(self, receive: Receive, max_body_bytes: int) -> None:
        self._receive = receive
        self._max_body_bytes = max_body_bytes
        self._received_bytes = 0

    async def __call__(self) -> Message:
        message = await self._next()
        if self._received_bytes > self._max_body_bytes:
            await self._swallow_rest(message.get("more_body", False))
            raise ImageTooLarge(
                f"the request body is over {self._max_body_bytes:,} bytes, the limit of this service; send fewer or "
                "smaller images"
            )
        return message

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received_bytes += len(message.get("body", b""))
        return message

    async def _swallow_rest(self, more: bool) -> None:
        while more and self._received_bytes <= _SWALLOWED_BODIES * self._max_body_bytes:
            more = (await self._next()).get("more_body", False)
