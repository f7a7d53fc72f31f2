"""Turns at what there is little of, such as a decoding process: first come, first served, by photo and by request.

The photos of one request all come at once. They count as if they came one after the other, so that a request with one
photo need not wait for all of another's: at most for those that came, or would have come, before it.
"""

import asyncio
import heapq
import time
from collections.abc import Iterable
from itertools import count
from typing import Generic, TypeVar

SPACING_SECONDS = 5.0
"""Time from one photo of a request to the next, as it counts here; nothing waits while something is free."""

_T = TypeVar("_T")


class Turns(Generic[_T]):
    """Things that are used by one photo at a time; use it within one event loop.

    Args:
        things: What there is.
    """

    def __init__(self, things: Iterable[_T]) -> None:
        self._free = list(things)
        self._waiting: list[tuple[float, int, asyncio.Future[_T]]] = []
        self._numbers = count()

    async def take(self, place: float = 0) -> _T:
        """One of the things; `give_back` it.

        Args:
            place: How many photos of the same request come before this one; more for one that takes long.
        """
        if self._free:
            return self._free.pop()
        turn: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        came = time.monotonic() + place * SPACING_SECONDS
        heapq.heappush(self._waiting, (came, next(self._numbers), turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(turn.result())
            raise

    def give_back(self, thing: _T) -> None:
        """Hand a thing to who is next."""
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(thing)
                return
        self._free.append(thing)
