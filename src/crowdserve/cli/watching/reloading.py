"""When a configuration is read again: at SIGHUP, and when its file or a secret's has another content.

A ConfigMap's or a Secret's file is another one after a change, under the same name, so the content is what is compared.
"""

import hashlib
import logging
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from crowdserve.errors import SetupError

if TYPE_CHECKING:
    from crowdserve.live.watcher import Watcher

log = logging.getLogger(__name__)

_LOOK_SECONDS, _EVERY_SECONDS = 10.0, 1.0
_STOP_SECONDS = 5.0


class Reloading:
    """Context manager in which SIGHUP does not end the process.

    Args:
        file: The configuration; None if there is none, and SIGHUP does what it did.
        look_seconds: Time between two looks at the content.
    """

    def __init__(self, file: Path | None, look_seconds: float = _LOOK_SECONDS) -> None:
        self._file = file
        self._look_seconds = look_seconds
        self._files: tuple[Path, ...] = ()
        self._content = b""
        self._look_at = 0.0
        self._came: list[int] = []

    def __enter__(self) -> "Reloading":
        if self._file is not None:
            self._before = signal.signal(signal.SIGHUP, lambda number, _: self._came.append(number))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            signal.signal(signal.SIGHUP, self._before)

    def remember(self, secrets: Iterable[str] = ()) -> None:
        """Note what is there now.

        Args:
            secrets: Files that secrets of the configuration have been read from.
        """
        self._files = (self._file, *map(Path, sorted(secrets))) if self._file is not None else ()
        self._content = self._read()
        self._look_at = time.monotonic() + self._look_seconds

    def is_due(self) -> bool:
        """Whether the configuration is to be read again; a content is told once."""
        if self._came:
            self._came.clear()
            return bool(self._files)
        if not self._files or time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + self._look_seconds
        now = self._read()
        is_another, self._content = now != self._content, now
        return is_another

    def _read(self) -> bytes:
        found = hashlib.sha256()
        for file in self._files:
            try:
                content = file.read_bytes()
            except OSError:  # it is being replaced; the next look tells
                return self._content
            found.update(hashlib.sha256(content).digest())
        return found.digest()


def change(watcher: "Watcher", file: Path, reloading: Reloading) -> None:
    """Go on with what a file says now; with what it said before, if that cannot be used."""
    from crowdserve.live.configuration import read_configuration

    try:
        configuration = read_configuration(file)
        reloading.remember(configuration.secrets.files)  # what is saved while cameras change is another content
        watcher.change(configuration)
    except SetupError as err:
        log.error("the configuration stays as it was: %s", err)


@contextmanager
def following(watcher: "Watcher", file: Path, reloading: Reloading) -> Iterator[None]:
    """Go on with each new content of a file while the block runs, beside whatever runs in it."""
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(_EVERY_SECONDS):
            try:
                if reloading.is_due():
                    change(watcher, file, reloading)
            except Exception:  # the next content may be better
                log.exception("the configuration could not be changed")

    thread = threading.Thread(target=follow, name="configuration", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_STOP_SECONDS)
