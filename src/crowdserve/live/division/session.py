"""The session: this watcher's own Lease, and how long it may believe that nobody else has its cameras."""

import logging
import threading
import uuid
from collections.abc import Callable, Iterator

from crowdserve.live.division.leases import WATCHER, Lease, Leases, LeasesAway, LeaseTaken
from crowdserve.live.division.roster import Silence
from crowdserve.live.division.timing import Timing

log = logging.getLogger(__name__)

Clock = Callable[[], float]
"""Seconds that never go back, and go on while the machine is suspended."""


class Session:
    """Of one watcher; a session that somebody has ended is followed by another.

    Args:
        leases: Where Leases are kept.
        watcher: Name of this watcher, the same after a restart.
        timing: Times.
        clock: This machine's.
        place: What two processes with the same name never share while both may run, such as the id of a pod; empty if
            there is none, and then a predecessor's Lease is waited for.
    """

    def __init__(self, leases: Leases, watcher: str, timing: Timing, clock: Clock, place: str = "") -> None:
        self.watcher = watcher
        self._leases = leases
        self._timing = timing
        self._clock = clock
        self._prefix = f"{watcher}/{place}/"
        self._has_place = bool(place)
        self._silence = Silence()
        self._lock = threading.Lock()
        self._id = ""
        self._valid_until = float("-inf")
        self._lease: Lease | None = None
        self._is_leaving = False

    @property
    def current(self) -> str:
        """Its id, in the Leases of its cameras; empty while it must not be believed in."""
        with self._lock:
            return self._id if self._clock() < self._valid_until else ""

    @property
    def last(self) -> str:
        """Its id, or that of the one before: what the Leases of its cameras may still say."""
        return self._id

    def renewals(self) -> Iterator[float]:
        """Join, and then renew; yields seconds to wait, with one request at most between two of them."""
        while not self._is_leaving:
            try:
                if self._lease is None:
                    yield from self._join()
                else:
                    self._write(self._lease)
                    yield self._timing.renew_seconds
            except LeaseTaken:
                self._lease = None
                yield 0.0
            except LeasesAway as err:
                log.warning("the Lease of this watcher is not renewed: %s", err)
                yield self._timing.retry_seconds

    def leave(self) -> None:
        """End the session at once, so that nobody waits for it; one request.

        Raises:
            LeasesAway, LeaseTaken: If it cannot be; then its Lease runs out.
        """
        self._is_leaving = True
        with self._lock:
            self._valid_until = float("-inf")
        if self._lease is not None:
            self._leases.written(self._lease.given_up())

    def _join(self) -> Iterator[float]:
        """Read the Lease, and take it unless another process may live by it."""
        found = self._leases.read(WATCHER, self.watcher)
        if found.holder and found.holder == self._id:
            self._lease = found  # an answer was lost
            yield 0.0
            return
        with self._lock:
            self._valid_until = float("-inf")
        is_predecessor = self._has_place and found.holder.startswith(self._prefix)
        if found.holder and not is_predecessor and not self._silence.is_over(found, self._clock()):
            yield self._timing.retry_seconds
            return
        yield 0.0
        with self._lock:
            self._id = f"{self._prefix}{uuid.uuid4()}"
        self._write(found.taken_by(self._id, self._timing.lease_seconds))
        yield self._timing.renew_seconds

    def _write(self, lease: Lease) -> None:
        sent_at = self._clock()
        written = self._leases.written(lease)
        with self._lock:
            self._lease = written
            self._valid_until = sent_at + self._timing.stop_seconds
