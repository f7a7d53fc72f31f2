"""Work for a caller that may hang up meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect

_T = TypeVar("_T")


async def unless_hung_up(receive: Callable[[], Awaitable[Any]], work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`, which is cancelled if the connection ends first.

    Args:
        receive: ASGI's, after the whole body has been received.
        work: What to do for the caller.

    Raises:
        ClientDisconnect: If the caller has hung up.
    """
    working, listening = asyncio.ensure_future(work), asyncio.ensure_future(_hang_up(receive))
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        listening.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})


async def _hang_up(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
