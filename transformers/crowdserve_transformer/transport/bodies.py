"""Request bodies on their way in: inflated, within their size, their pace and the process's memory.

A body that has not arrived whole is work for nobody and can be sent again. So when memory for bodies runs out, the one
that costs most gives way: the one with the most bytes times the longest silence.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import ClientDisconnect

from crowdserve.errors import DeadlineExceeded, ImageTooLarge, Overloaded
from crowdserve_transformer.budget import BodyHold, Budget
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.threads import Threads
from crowdserve_transformer.transport.inflation import Inflater

_INFLATING_THREADS = 1
_STEP_BYTES = 64 * 2**10
"""Of compressed content that is there whole: what is left after a piece is copied."""

_PATIENCE_SECONDS = 2.0
_POLL_SECONDS = 0.02

_Receive = Callable[[], Awaitable[Any]]


class Body:
    """One request body.

    Attributes:
        data: What has arrived, inflated; empty after `take`.
    """

    def __init__(self, hold: BodyHold) -> None:
        self.data = bytearray()
        self.hold = hold
        self.gave_way = False
        self._last = time.monotonic()
        self._limit: asyncio.Timeout | None = None

    def take(self) -> bytearray:
        """The body, to which nothing else refers from now on, so that it is freed as soon as it has been decoded."""
        data, self.data = self.data, bytearray()
        return data

    def cost(self, now: float) -> float:
        """What it costs the others to let it wait."""
        return self.hold.held_bytes * (1 + now - self._last)

    def give_way(self) -> None:
        """Free its memory now; its reader is told so."""
        self.gave_way = True
        self.data = bytearray()
        self.hold.release()
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def read(self, bodies: "Bodies", receive: _Receive, inflater: Inflater | None) -> None:
        """Read it whole."""
        more, due_bytes = True, 0
        async with asyncio.timeout(bodies.pace_seconds) as self._limit:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                content, more = message.get("body", b""), message.get("more_body", False)
                await self._keep(bodies, content, inflater)
                self._last = time.monotonic()
                due_bytes += len(content)
                if due_bytes >= bodies.pace_bytes and not self.gave_way:
                    due_bytes = 0
                    self._limit.reschedule(asyncio.get_running_loop().time() + bodies.pace_seconds)
        self._limit = None
        if inflater is not None and not self.gave_way:
            inflater.finish()

    async def _keep(self, bodies: "Bodies", content: bytes, inflater: Inflater | None) -> None:
        if inflater is None:
            await bodies.grow(self, len(content))
            self.data += content
            return
        async for piece in bodies.inflated(inflater, content):
            await bodies.grow(self, len(piece))
            if self.gave_way:
                return
            self.data += piece


class Bodies:
    """The request bodies that are on their way to one process.

    Args:
        budget: Memory of the process.
        settings: The settings, with the limits of a body.

    Attributes:
        pace_seconds: Time in which `pace_bytes` more of a body must have arrived, or its end.
        pace_bytes: See `pace_seconds`.
    """

    def __init__(self, budget: Budget, settings: Settings) -> None:
        self.pace_seconds = settings.body_timeout_seconds
        self.pace_bytes = max(1, int(settings.body_timeout_seconds * settings.min_bytes_per_second))
        self._budget = budget
        self._threads = Threads(_INFLATING_THREADS)
        self._max_bytes = min(settings.max_body_bytes, budget.body_limit_bytes)
        self._incoming: set[Body] = set()

    @contextmanager
    def body(self, announced_bytes: int | None) -> Iterator[Body]:
        """A body, whose memory is held while the block runs.

        Raises:
            ImageTooLarge: If it is announced to be over the limit.
        """
        self._check(announced_bytes or 0)
        body = Body(self._budget.body())
        try:
            yield body
        finally:
            body.hold.release()

    async def read(self, body: Body, receive: _Receive, inflater: Inflater | None = None) -> None:
        """Read a body to its end.

        Args:
            body: The body.
            receive: ASGI's.
            inflater: What undoes its compression.

        Raises:
            ClientDisconnect: If the caller hangs up.
            DeadlineExceeded: If the body comes too slowly.
            ImageTooLarge: If it is over the limit, inflated.
            InvalidRequest: If it cannot be inflated.
            Overloaded: If there is no memory for it.
        """
        self._incoming.add(body)
        try:
            await body.read(self, receive, inflater)
        except TimeoutError:
            if not body.gave_way:
                raise DeadlineExceeded(
                    f"the request body came too slowly: {self.pace_bytes:,} bytes in {self.pace_seconds:g} seconds are "
                    "the least that this service waits for"
                ) from None
        finally:
            self._incoming.discard(body)
        if body.gave_way:
            raise Overloaded("the service needed the memory of this unfinished request body; try again later")

    async def fill(self, body: Body, content: bytes, inflater: Inflater) -> None:
        """Fill a body with what compressed content stands for.

        Raises:
            ImageTooLarge: If it is over the limit.
            InvalidRequest: If it cannot be inflated.
            Overloaded: If there is no memory for it.
        """
        for start in range(0, len(content), _STEP_BYTES):
            async for piece in self.inflated(inflater, content[start : start + _STEP_BYTES]):
                await self.grow(body, len(piece))
                body.data += piece
        inflater.finish()

    async def inflated(self, inflater: Inflater, content: bytes) -> AsyncIterator[bytes]:
        """What a part of a compressed body stands for, each piece made in a thread when the one before was taken."""
        pieces = inflater.pieces(content)
        while (piece := await self._threads.run(next, pieces, None)) is not None:
            yield piece

    async def grow(self, body: Body, more_bytes: int) -> None:
        """Hold more bytes for a body.

        Raises:
            ImageTooLarge: If it is over the limit then.
            Overloaded: If there are none, and no other body can give way.
        """
        self._check(body.hold.held_bytes + more_bytes)
        patience = time.monotonic() + _PATIENCE_SECONDS
        while not body.gave_way:
            try:
                body.hold.grow(more_bytes)
                break
            except Overloaded:
                now = time.monotonic()
                costliest = max(self._incoming, key=lambda other: other.cost(now), default=body)
                if costliest is not body and costliest.hold.held_bytes:
                    costliest.give_way()
                elif now > patience:
                    raise
                else:
                    await asyncio.sleep(_POLL_SECONDS)

    def _check(self, body_bytes: int) -> None:
        if body_bytes > self._max_bytes:
            raise ImageTooLarge(
                f"the request body is over {self._max_bytes:,} bytes, the limit of this service; send fewer or smaller "
                "images"
            )
