"""Streams of messages, each of which is a request: few read at once, in turn, and none of them for long.

While a stream waits for a message, gRPC's core gathers it, whatever its size. So as few wait as messages may arrive at
once. The others stand in line, after each message anew, and what has waited longest for one gives way to them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from crowdserve.errors import DeadlineExceeded, Overloaded, RequestTimedOut
from crowdserve_transformer.transport.rpc.reading import READERS

STREAMS = 32
"""Most streams at once."""

READING = READERS
"""Most that wait for a message at once."""

GIVES_WAY_SECONDS = 5.0
"""How long a stream waits for a message before it gives way, if others stand in line."""

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
        self._open = 0
        self._turns = _Turns()

    @contextmanager
    def one(self, is_stopping: Callable[[], bool]) -> Iterator["Stream"]:
        """A stream, while the block runs.

        Args:
            is_stopping: Whether the service stops, and its streams have to end.

        Raises:
            Overloaded: If there are as many as there may be.
        """
        if self._open >= STREAMS:
            raise Overloaded(f"{STREAMS} streams are open already; close one, call ModelInfer, or try again later")
        self._open += 1
        try:
            yield Stream(self._send_seconds, is_stopping, self._turns)
        finally:
            self._open -= 1


class _Turns:
    """Places to wait for a message, first come, first served."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(READING)
        self._reading: dict[Stream, float] = {}

    @asynccontextmanager
    async def one(self, stream: "Stream") -> AsyncIterator[float]:
        """A place for a stream, and since when it has it, by the monotonic clock."""
        await self._place(stream)
        try:
            self._reading[stream] = time.monotonic()
            yield self._reading[stream]
        finally:
            self._reading.pop(stream, None)
            self._places.release()

    async def _place(self, stream: "Stream") -> None:
        acquiring = asyncio.ensure_future(self._places.acquire())
        try:
            while not acquiring.done():
                await asyncio.wait({acquiring}, timeout=_LOOK_SECONDS)
                if not acquiring.done():
                    stream.check_service()
                    self._make_room()
        except BaseException:
            if acquiring.done():
                self._places.release()
            acquiring.cancel()
            raise

    def _make_room(self) -> None:
        longest = next(iter(self._reading), None)  # a dict keeps the order of arrival
        if longest is not None and time.monotonic() - self._reading[longest] >= GIVES_WAY_SECONDS:
            del self._reading[longest]
            longest.give_way()


class Stream:
    """One stream."""

    def __init__(self, send_seconds: float, is_stopping: Callable[[], bool], turns: _Turns) -> None:
        self._send_seconds, self._is_stopping, self._turns = send_seconds, is_stopping, turns
        self._gives_way = asyncio.Event()

    def give_way(self) -> None:
        """End it."""
        self._gives_way.set()

    async def each(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Its messages: the next one is read when the one before is answered. None is kept here, as they are large.

        Raises:
            DeadlineExceeded: If none comes for long.
            Overloaded: If it gives way to another stream.
            RequestTimedOut: If the service stops; one that is new then has its first message answered.
        """
        is_new = True
        while (message := await self._next(messages)) is not None:
            if not is_new:
                self.check_service()
            is_new = False
            handed_over = [message]
            del message
            yield handed_over.pop()

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
        async with self._turns.one(self) as since:
            coming = asyncio.ensure_future(anext(messages, None))
            yielding = asyncio.ensure_future(self._gives_way.wait())
            try:
                while not coming.done():
                    await asyncio.wait({coming, yielding}, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done():
                        self._check(since)
                return coming.result()
            finally:
                coming.cancel()
                yielding.cancel()

    def _check(self, since: float) -> None:
        if self._gives_way.is_set():
            raise Overloaded("the stream waited for a message while others waited for its place; open it again")
        self.check_service()
        if time.monotonic() - since > IDLE_SECONDS:
            raise DeadlineExceeded(f"no message came whole within {IDLE_SECONDS:g} seconds; open the stream again")

    def check_service(self) -> None:
        """Check that it may go on.

        Raises:
            RequestTimedOut: If the service stops.
        """
        if self._is_stopping():
            raise RequestTimedOut("the service is stopping; open the stream again")
