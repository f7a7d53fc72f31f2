"""Signals that end a command: it cleans up first."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_AGAIN_SECONDS = 0.05
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Leave the block as on Ctrl-C when SIGTERM or SIGHUP comes, and then the process.

    The exit code is the shell's for the signal: 143, 129, or 130 for Ctrl-C. A second SIGTERM or SIGHUP does not
    interrupt the clean-up, a second Ctrl-C does. A signal that is ignored, as under nohup, stays ignored. Threads that
    wait for an answer of a server are not waited for. A signal that comes while Python drops exceptions, in a `__del__`
    or the callback of a weak reference, comes again.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)
        received.append(number)
        raise KeyboardInterrupt

    def again(dropped: "sys.UnraisableHookArgs") -> None:
        if not received or dropped.exc_type is not KeyboardInterrupt:
            told(dropped)
            return
        signal.signal(received[0], interrupt)
        threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), received[0])).start()

    told, sys.unraisablehook = sys.unraisablehook, again
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
        sys.unraisablehook = told


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
