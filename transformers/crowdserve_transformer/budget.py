"""Memory that requests in flight may take, over the whole process.

A request body takes bytes as they arrive, and is refused when there are none left: a client that waits with half a
body would hold them for the others. A picture takes what its header says that it will need before it is decoded, and
waits for that in turn. Bodies never get the part that is kept for pictures, so that what has arrived can always be
worked off. Maps and heat maps that are kept for an answer take bytes as they are made, until the caller has taken the
answer; beyond half of all bytes they are refused.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from crowdserve.errors import ImageTooLarge, Overloaded

_SMALL_SHARE = 1 / 16
"""Pictures that need up to this share of all bytes go past larger ones that wait for many."""


class Hold:
    """Bytes that a body or a picture holds of a budget; use it as a context manager, or `release` it.

    Args:
        give_back: Takes bytes back into the budget.
        held_bytes: Held from the start.
    """

    def __init__(self, give_back: Callable[[int], None], held_bytes: int = 0) -> None:
        self._give_back = give_back
        self.held_bytes = held_bytes

    def __enter__(self) -> "Hold":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def shrink(self, to_bytes: int) -> None:
        """Give back what is over `to_bytes`."""
        given_back, self.held_bytes = max(0, self.held_bytes - to_bytes), min(self.held_bytes, to_bytes)
        self._give_back(given_back)

    def release(self) -> None:
        """Give everything back."""
        self.shrink(0)


class Budget:
    """Bytes of one event loop's process.

    Args:
        capacity_bytes: All bytes.
        picture_bytes: The part of them that bodies never get.
        max_waiting: Most pictures that may wait for bytes.

    Attributes:
        used_bytes: Bytes held now.
        body_limit_bytes: Most bytes of all bodies together.
        answer_limit_bytes: Most bytes of all answers together.
    """

    def __init__(self, capacity_bytes: int, *, picture_bytes: int, max_waiting: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.used_bytes = 0
        self.body_limit_bytes = capacity_bytes - picture_bytes
        self.answer_limit_bytes = capacity_bytes // 2
        self._body_bytes = self._answer_bytes = 0
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def body(self) -> "BodyHold":
        """A hold for a request body, which grows as the body arrives."""
        return BodyHold(self)

    def answer(self) -> "AnswerHold":
        """A hold for an answer, which grows as its parts are made."""
        return AnswerHold(self)

    @asynccontextmanager
    async def picture(self, needed_bytes: int) -> AsyncIterator[Hold]:
        """Hold bytes for a picture while the block runs; waits for them, first come, first served.

        Args:
            needed_bytes: Most memory that the picture takes; shrink the hold when it takes less.

        Raises:
            ImageTooLarge: If there will never be as many.
            Overloaded: If too many others wait.
        """
        if needed_bytes > self.capacity_bytes:
            raise ImageTooLarge(
                f"the image would take {needed_bytes / 1e6:,.0f} MB of memory to decode; this service has "
                f"{self.capacity_bytes / 1e6:,.0f} MB: scale it down, or send it as JPEG"
            )
        await self._wait_for(needed_bytes)
        hold = Hold(self.give_back, needed_bytes)
        try:
            yield hold
        finally:
            hold.release()

    def picture_now(self, needed_bytes: int) -> Hold:
        """A hold of bytes for a picture; of none if it would have to wait for them."""
        taken_bytes = needed_bytes if self._may_take(needed_bytes, is_first=not self._waiting) else 0
        self.used_bytes += taken_bytes
        return Hold(self.give_back, taken_bytes)

    def take_for_body(self, more_bytes: int) -> None:
        """Take bytes for a body at once.

        Raises:
            Overloaded: If there are none left for bodies.
        """
        if self._body_bytes + more_bytes > self.body_limit_bytes or self.used_bytes + more_bytes > self.capacity_bytes:
            raise Overloaded("the service is receiving as much as it has memory for; try again later")
        self._body_bytes += more_bytes
        self.used_bytes += more_bytes

    def give_back_body(self, some_bytes: int) -> None:
        """Give back bytes of a body."""
        self._body_bytes -= some_bytes
        self.give_back(some_bytes)

    def take_for_answer(self, more_bytes: int) -> None:
        """Take bytes for an answer at once, even if pictures have all: what is made cannot wait for them.

        Raises:
            Overloaded: If there are none left for answers.
        """
        if self._answer_bytes + more_bytes > self.answer_limit_bytes:
            raise Overloaded("the service is sending as many heat maps as it has memory for; try again later")
        self._answer_bytes += more_bytes
        self.used_bytes += more_bytes

    def give_back_answer(self, some_bytes: int) -> None:
        """Give back bytes of an answer."""
        self._answer_bytes -= some_bytes
        self.give_back(some_bytes)

    def give_back(self, some_bytes: int) -> None:
        """Give back bytes, and wake the pictures that they suffice for."""
        self.used_bytes -= some_bytes
        still_waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        for needed_bytes, turn in self._waiting:
            if turn.done():
                continue
            if self._may_take(needed_bytes, is_first=not still_waiting):
                self.used_bytes += needed_bytes
                turn.set_result(None)
            else:
                still_waiting.append((needed_bytes, turn))
        self._waiting = still_waiting

    def _may_take(self, needed_bytes: int, *, is_first: bool) -> bool:
        """Whether a picture gets its bytes now: if there are as many, and it is its turn or it is small."""
        is_small = needed_bytes <= _SMALL_SHARE * self.capacity_bytes
        return (is_first or is_small) and self.used_bytes + needed_bytes <= self.capacity_bytes

    async def _wait_for(self, needed_bytes: int) -> None:
        if self._may_take(needed_bytes, is_first=not self._waiting):
            self.used_bytes += needed_bytes
            return
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded("too many images wait for memory; try again later")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((needed_bytes, turn))
        try:
            await turn
        except asyncio.CancelledError:
            got_them = turn.done() and not turn.cancelled()
            turn.cancel()
            self.give_back(needed_bytes if got_them else 0)
            raise


class BodyHold(Hold):
    """Bytes that a request body holds; there are the more of them the more of the body has arrived."""

    def __init__(self, budget: "Budget") -> None:
        super().__init__(budget.give_back_body)
        self._budget = budget

    def grow(self, more_bytes: int) -> None:
        """Take more bytes at once.

        Raises:
            Overloaded: If there are none left for bodies.
        """
        self._budget.take_for_body(more_bytes)
        self.held_bytes += more_bytes


class AnswerHold(Hold):
    """Bytes that an answer holds; there are the more of them the more of it has been made."""

    def __init__(self, budget: "Budget") -> None:
        super().__init__(budget.give_back_answer)
        self._budget = budget

    def grow(self, more_bytes: int) -> None:
        """Take more bytes at once.

        Raises:
            ImageTooLarge: If there will never be as many for one answer.
            Overloaded: If other answers have them.
        """
        limit = self._budget.answer_limit_bytes
        if self.held_bytes + more_bytes > limit:
            raise ImageTooLarge(
                f"the answer would take over {limit / 1e6:,.0f} MB of memory; ask for fewer heat maps at once"
            )
        self._budget.take_for_answer(more_bytes)
        self.held_bytes += more_bytes


ANSWER: ContextVar[AnswerHold | None] = ContextVar("answer", default=None)
"""The hold of the answer that a task works on."""
