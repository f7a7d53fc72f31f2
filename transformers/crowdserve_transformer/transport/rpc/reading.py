"""gRPC messages on their way in.

gRPC's core gathers a whole message and offers no limit of the memory of all of them together. But it takes no more than
a first window of bytes until somebody reads. So few read at a time, and one that has been reading for long gives way
to those that wait.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from crowdserve.errors import DeadlineExceeded, Overloaded

_T = TypeVar("_T")

READERS = 4
"""Most messages that arrive at once: that many times the largest message is the memory that they can take."""

_LONG_SECONDS = 0.5
_LOOK_SECONDS = 0.1


class MessageReaders:
    """Reads messages, a few at a time.

    Args:
        max_seconds: Longest time that a message may take to arrive.
    """

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._places = asyncio.Semaphore(READERS)
        self._reading: dict[asyncio.Timeout, float] = {}

    async def read(self, message: Awaitable[_T]) -> _T:
        """The message, once it has arrived whole.

        Raises:
            DeadlineExceeded: If it took too long.
            Overloaded: If it gave way to another.
        """
        await self._place()
        limit, gave_way = asyncio.timeout(self._max_seconds), False
        try:
            async with limit:
                self._reading[limit] = time.monotonic()
                return await message
        except TimeoutError:
            gave_way = limit not in self._reading
        finally:
            self._reading.pop(limit, None)
            self._places.release()
        if gave_way:
            raise Overloaded("the message came slowly while others waited for its place; try again later")
        raise DeadlineExceeded(f"the message did not arrive within {self._max_seconds:g} seconds")

    async def _place(self) -> None:
        acquiring = asyncio.ensure_future(self._places.acquire())
        try:
            while not acquiring.done():
                await asyncio.wait({acquiring}, timeout=_LOOK_SECONDS)
                if not acquiring.done():
                    self._make_room()
        except asyncio.CancelledError:
            if acquiring.done():
                self._places.release()
            acquiring.cancel()
            raise

    def _make_room(self) -> None:
        if not self._reading:
            return
        longest = next(iter(self._reading))  # a dict keeps the order of arrival
        if time.monotonic() - self._reading[longest] > _LONG_SECONDS:
            del self._reading[longest]
            if not longest.expired():
                longest.reschedule(asyncio.get_running_loop().time())
