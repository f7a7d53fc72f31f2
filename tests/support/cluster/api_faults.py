"""Faults between a client and the API server, for `ApiServer.disturb`."""

import time
from collections.abc import Callable

from tests.support.cluster.api_server import Handler


def lose_connection(handler: Handler) -> bool:
    """The connection breaks before the request is processed."""
    handler.hang_up()
    return True


def lose_answer(handler: Handler) -> bool:
    """The request is processed, and the connection breaks before the response."""
    handler.perform()
    handler.hang_up()
    return True


def answer(code: int, reason: str = "Injected", message: str = "injected") -> Callable[[Handler], bool]:
    """An error response."""

    def fault(handler: Handler) -> bool:
        handler.refuse(code, reason, message)
        return True

    return fault


def delay(seconds: float) -> Callable[[Handler], bool]:
    """The request is processed, and the response is late."""

    def fault(handler: Handler) -> bool:
        handler.perform()
        time.sleep(seconds)
        handler.hang_up()
        return True

    return fault


def first(act: Callable[[], None]) -> Callable[[Handler], bool]:
    """Call a function just before the request is processed."""

    def fault(handler: Handler) -> bool:
        act()
        return False

    return fault
