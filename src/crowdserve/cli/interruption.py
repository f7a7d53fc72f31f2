"""Signals that end a command: it cleans up first."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Leave the block as on Ctrl-C when SIGTERM or SIGHUP comes, and then the process.

    The exit code is the shell's for the signal: 143, 129, or 130 for Ctrl-C. A second SIGTERM or SIGHUP does not
    interrupt the clean-up, a second Ctrl-C does. A signal that is ignored, as under nohup, stays ignored. Threads that
    wait for an answer of a server are not waited for.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)
        received.append(number)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGINT)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        if received:
            _leave(128 + received[0])
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
