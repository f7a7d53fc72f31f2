"""Signals that end a command: it cleans up first."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

NUMBERS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Leave the block as on Ctrl-C when SIGTERM or SIGHUP comes; a second one does not interrupt the clean-up.

    A signal that is ignored, as under nohup, stays ignored.

    Raises:
        SystemExit: After such a signal, with the shell's exit code for it: 143 or 129.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for each in NUMBERS:
            signal.signal(each, signal.SIG_IGN)
        received.append(number)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if not received:
            raise
        raise SystemExit(128 + received[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
