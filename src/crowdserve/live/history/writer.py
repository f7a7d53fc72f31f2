"""The thread that writes a history: cameras never wait for a database, and one that is away is tried again."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from crowdserve.live.backoff import BackOff
from crowdserve.live.history.store import HistoryStore, reason
from crowdserve.live.observations import Alert, HistoryState, Message, Reading

log = logging.getLogger(__name__)

_MAX_WAITING = 20_000
"""Readings that are kept for a database that is away: of 20 cameras every 5 s, an hour and more."""

_TOGETHER = 500
_GATHER_SECONDS = 1.0
_FORGET_EVERY_SECONDS = 600.0
_LAST_SECONDS = 5.0
_LATE_SECONDS = 5.0
"""Time of one write after which the database counts as away: it refuses, or does not answer."""

_ORPHANED_SECONDS = 86400.0
"""Time without any watcher after which a camera's alerts are over: it has been taken out of the configuration."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written: a reading, alerts, messages about them, messages that are settled; who waits for it."""

    reading: Reading | None = None
    alerts: Sequence[Alert] = ()
    messages: Sequence[Message] = ()
    settled: Sequence[Message] = ()
    written: threading.Event | None = None


class HistoryWriter:
    """Writes to a store until it is closed.

    Args:
        store: Where.
        keep_seconds: Age at which a count is removed.
        backoff: Waits between tries.
        ended: Is told of alerts that end because no watcher has had their camera for a day.
    """

    def __init__(
        self,
        store: HistoryStore,
        keep_seconds: float,
        backoff: BackOff | None = None,
        ended: Callable[[list[Alert]], None] = lambda alerts: None,
    ) -> None:
        self._store = store
        self._keep_seconds = keep_seconds
        self._backoff = backoff or BackOff(1.0, 30.0)
        self._ended = ended
        self._waiting: queue.Queue[Entry] = queue.Queue()
        self._writing = 0
        self._writing_since: float | None = None
        self._lost = 0
        self._is_wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Write an entry soon; if too many wait, the oldest is lost."""
        if self._waiting.qsize() >= _MAX_WAITING:
            with suppress(queue.Empty):
                self._lose([self._waiting.get_nowait()])
        self._waiting.put(entry)

    def flush(self, seconds: float) -> bool:
        """Write what waits now; returns whether it is written within some seconds."""
        written = threading.Event()
        self._waiting.put(Entry(written=written))
        self._is_wanted.set()
        return written.wait(seconds)

    @property
    def state(self) -> HistoryState:
        """How the writing goes."""
        since = self._writing_since
        is_away = since is not None and time.time() - since > _LATE_SECONDS
        return HistoryState(self._waiting.qsize() + self._writing, self._lost, since if is_away else None)

    def close(self) -> None:
        """Write the rest, and close the store."""
        self._stopping.set()
        self._is_wanted.set()
        self._thread.join(_LAST_SECONDS)
        self._store.close()

    def _run(self) -> None:
        forget_at, is_first = time.monotonic(), True
        while not (self._stopping.is_set() and self._waiting.empty()):
            entries = self._gathered()
            self._writing, self._writing_since = len(entries), time.time()
            if not self._written(entries):
                return
            self._writing, self._writing_since = 0, None
            for entry in entries:
                if entry.written is not None:
                    entry.written.set()
            if time.monotonic() >= forget_at:
                forget_at = time.monotonic() + _FORGET_EVERY_SECONDS
                self._forget()
                if not is_first:  # cameras are being taken
                    self._end_orphans()
                is_first = False

    def _gathered(self) -> list[Entry]:
        """What has come in about a second, one commit's worth."""
        self._is_wanted.wait(0.0 if self._stopping.is_set() else _GATHER_SECONDS)
        self._is_wanted.clear()
        entries: list[Entry] = []
        while len(entries) < _TOGETHER and not self._waiting.empty():
            entries.append(self._waiting.get_nowait())
        return entries

    def _written(self, entries: list[Entry]) -> bool:
        """Write, however often it has to be tried; False if the watcher stops before."""
        while entries:
            try:
                self._record(entries)
                self._backoff.reset()
                return True
            except (DataError, IntegrityError) as err:  # one of them is refused for what it is, and would be again
                if len(entries) > 1:
                    return all(self._written([entry]) for entry in entries)
                self._lose(entries)
                log.error("history %s: an entry is lost: %s", self._store.shown, reason(err))
                return True
            except SQLAlchemyError as err:
                log.warning("history %s: %s; it is tried again", self._store.shown, reason(err))
                if self._stopping.wait(self._backoff.next_seconds()):
                    lost = len(entries) + self._waiting.qsize()
                    log.error("history %s: %d readings are lost", self._store.shown, lost)
                    return False
        return True

    def _lose(self, entries: list[Entry]) -> None:
        self._lost += sum(entry.reading is not None for entry in entries)

    def _record(self, entries: list[Entry]) -> None:
        self._store.record(
            [entry.reading for entry in entries if entry.reading],
            [alert for entry in entries for alert in entry.alerts],
            [message for entry in entries for message in entry.messages],
            [message for entry in entries for message in entry.settled],
        )

    def _forget(self) -> None:
        try:
            self._store.forget_before(time.time() - self._keep_seconds)
        except SQLAlchemyError as err:
            log.warning("history %s: old counts could not be removed: %s", self._store.shown, reason(err))

    def _end_orphans(self) -> None:
        try:
            self._ended(self._store.end_orphans(time.time() - _ORPHANED_SECONDS, time.time()))
        except SQLAlchemyError as err:
            log.warning("history %s: old alerts could not be ended: %s", self._store.shown, reason(err))
