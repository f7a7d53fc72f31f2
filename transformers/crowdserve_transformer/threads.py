"""Threads for work that would block the event loop: decoding, resizing, drawing, writing."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Threads:
    """A bounded pool of threads, shared by all work of one event loop.

    Args:
        size: Number of threads; further work waits.
    """

    def __init__(self, size: int) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="worker")

    async def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run `work` in a thread, with the context of the task; return its result or raise its exception."""
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: context.run(work, *args, **kwargs))

    def close(self) -> None:
        """Cancel work that has not begun, and release the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
