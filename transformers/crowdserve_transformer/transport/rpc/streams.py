"""Streams of messages, each of which is a request: few at once, and none that waits for long.

While a stream waits for a message, gRPC's core gathers it, whatever its size. So there are as few streams as messages
that may arrive at once, and the one that has waited longest gives way to a new one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from crowdserve.errors import DeadlineExceeded, Overloaded, RequestTimedOut
from crowdserve_transformer.transport.rpc.reading import READERS

STREAMS = READERS
"""Most streams at once."""

GIVES_WAY_SECONDS = 5.0
"""How long a stream waits for a message before it gives way to another one, if there are as many as there may be."""

IDLE_SECONDS = 60.0
"""Longest time until the next message of a stream is there."""

_LOOK_SECONDS = 0.5


class Streams:
    """The streams that are open.

    Args:
        send_seconds: Longest time until a caller has taken an answer.
    """

    def __init__(self, send_seconds: float) -> None:
        self._send_seconds = send_seconds
        self._open: list[Stream] = []

    @contextmanager
    def one(self, is_stopping: Callable[[], bool]) -> Iterator["Stream"]:
        """A stream, while the block runs.

        Args:
            is_stopping: Whether the service stops, and its streams have to end.

        Raises:
            Overloaded: If there are as many as there may be, and none waits.
        """
        if len(self._open) >= STREAMS:
            self._make_room()
        stream = Stream(self._send_seconds, is_stopping)
        self._open.append(stream)
        try:
            yield stream
        finally:
            if stream in self._open:
                self._open.remove(stream)

    def _make_room(self) -> None:
        longest = min(self._open, key=lambda stream: stream.waits_since)
        if time.monotonic() - longest.waits_since < GIVES_WAY_SECONDS:
            raise Overloaded(f"{STREAMS} streams are open already; close one, call ModelInfer, or try again later")
        self._open.remove(longest)
        longest.give_way()


class Stream:
    """One stream.

    Attributes:
        waits_since: Since when it waits for a message, by the monotonic clock; infinite while it works on one.
    """

    def __init__(self, send_seconds: float, is_stopping: Callable[[], bool]) -> None:
        self._send_seconds, self._is_stopping = send_seconds, is_stopping
        self._gives_way = asyncio.Event()
        self.waits_since = time.monotonic()

    def give_way(self) -> None:
        """End it."""
        self._gives_way.set()

    async def each(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Its messages: the next one is read when the one before is answered.

        Raises:
            DeadlineExceeded: If none comes for long.
            Overloaded: If it gives way to another stream.
            RequestTimedOut: If the service stops; one that is new then has its first message answered.
        """
        is_new = True
        while (message := await self._next(messages)) is not None:
            if not is_new:
                self._check_service()
            is_new = False
            yield message

    async def send(self, context: Any, answer: Any) -> None:
        """Send an answer.

        Raises:
            DeadlineExceeded: If the caller does not take it.
        """
        try:
            async with asyncio.timeout(self._send_seconds):
                await context.write(answer)
        except TimeoutError:
            raise DeadlineExceeded(f"the answer was not taken within {self._send_seconds:g} seconds") from None

    async def _next(self, messages: AsyncIterator[bytes]) -> bytes | None:
        self.waits_since = time.monotonic()
        coming = asyncio.ensure_future(anext(messages, None))
        yielding = asyncio.ensure_future(self._gives_way.wait())
        try:
            while not coming.done():
                await asyncio.wait({coming, yielding}, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    self._check()
            return coming.result()
        finally:
            self.waits_since = float("inf")
            coming.cancel()
            yielding.cancel()

    def _check(self) -> None:
        if self._gives_way.is_set():
            raise Overloaded("the stream waited for a message while others waited for its place; open it again")
        self._check_service()
        if time.monotonic() - self.waits_since > IDLE_SECONDS:
            raise DeadlineExceeded(f"no message came whole within {IDLE_SECONDS:g} seconds; open the stream again")

    def _check_service(self) -> None:
        if self._is_stopping():
            raise RequestTimedOut("the service is stopping; open the stream again")
