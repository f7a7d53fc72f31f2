"""Threads that turn bytes into tensors, apart from those that decode photos: a long queue there delays no parsing."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from crowdserve_transformer.transport.json_limits import SMALL_BYTES

_T = TypeVar("_T")

_SMALL_AT_ONCE = 2


class Parsers:
    """Parses large bodies one after the other, and small ones beside them.

    A body in work takes up to three times its size, so that more than one large one at once would need memory that
    nobody has accounted for; and Python's global lock lets them gain nothing.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_SMALL_AT_ONCE + 1, thread_name_prefix="parser")
        self._small = asyncio.Semaphore(_SMALL_AT_ONCE)
        self._large = asyncio.Semaphore(1)

    async def run(self, size_bytes: int, parse: Callable[[], _T]) -> _T:
        """The result of `parse`, which works on so many bytes; it has not begun if this is cancelled in time."""
        turn = self._small if size_bytes <= 4 * SMALL_BYTES else self._large
        await turn.acquire()
        parsing = asyncio.get_running_loop().run_in_executor(self._threads, parse)

        def end(done: asyncio.Future[_T]) -> None:
            turn.release()
            if not done.cancelled():
                done.exception()  # which nobody else asks for if the caller is gone

        parsing.add_done_callback(end)
        return await asyncio.shield(parsing)  # a thread cannot be stopped: its turn ends when it does

    def close(self) -> None:
        """Release the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
