"""What can go wrong between a client and the API server: for `ApiServer.disturb`, which injects it."""

import time
from collections.abc import Callable

from tests.support.cluster.api_server import Handler


def lose_connection(handler: Handler) -> bool:
    """The connection breaks before the request is looked at."""
    handler.hang_up()
    return True


def lose_answer(handler: Handler) -> bool:
    """The request is performed, the connection breaks before the answer."""
    handler.perform()
    handler.hang_up()
    return True


def answer(code: int, reason: str = "Injected", message: str = "injected") -> Callable[[Handler], bool]:
    """An error instead of an answer."""

    def fault(handler: Handler) -> bool:
        handler.refuse(code, reason, message)
        return True

    return fault


def delay(seconds: float) -> Callable[[Handler], bool]:
    """The answer comes late; the request is performed."""

    def fault(handler: Handler) -> bool:
        handler.perform()
        time.sleep(seconds)
        handler.hang_up()
        return True

    return fault


def first(act: Callable[[], None]) -> Callable[[Handler], bool]:
    """Something else happens just before the request is looked at."""

    def fault(handler: Handler) -> bool:
        act()
        return False

    return fault
