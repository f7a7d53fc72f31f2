"""A member of the division: takes the cameras of its share, lets the others go, and ends who is silent for too long."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from crowdserve.live.division.leases import CAMERA, WATCHER, Lease, Leases, LeasesAway, LeaseTaken
from crowdserve.live.division.ranking import share
from crowdserve.live.division.roster import Roster
from crowdserve.live.division.session import Session
from crowdserve.live.division.timing import Timing

log = logging.getLogger(__name__)

_TOGETHER = 50
"""Cameras that begin at once, so that the first need not wait until all have been taken."""


class Work(Protocol):
    """What is done with cameras that are held."""

    def begin(self, epochs: Mapping[str, int]) -> None:
        """Watch cameras, whose Leases have been taken for the so-manyeth time."""

    def stop(self, cameras: Iterable[str]) -> None:
        """Stop watching cameras, and finish what is to be known to who takes them next."""


class Member:
    """This watcher among the others.

    Args:
        leases: Where Leases are kept.
        session: This watcher's.
        work: What is done with cameras.
        timing: Times.
        clock: This machine's.
        most: Most cameras that it takes.
    """

    def __init__(
        self, leases: Leases, session: Session, work: Work, timing: Timing, clock: Callable[[], float], most: int = 200
    ) -> None:
        self._leases = leases
        self._session = session
        self._work = work
        self._timing = timing
        self._clock = clock
        self._most = most
        self._roster = Roster(session.watcher)
        self._cameras: tuple[str, ...] = ()
        self._held: dict[str, Lease] = {}
        self._leaving: dict[str, Lease] = {}
        self._over: set[str] = set()
        self._is_waiting = False
        self._verify_at = clock() + timing.verify_seconds

    def divide(self, cameras: Iterable[str]) -> None:
        """Say which cameras there are."""
        self._cameras = tuple(cameras)

    def holds(self, camera: str) -> bool:
        """Whether this watcher, and nobody else, may count a camera now."""
        lease = self._held.get(camera)
        return lease is not None and lease.holder == self._session.current

    @property
    def held(self) -> tuple[str, ...]:
        """Cameras that it holds."""
        return tuple(camera for camera in list(self._held) if self.holds(camera))

    @property
    def share(self) -> tuple[str, ...]:
        """Cameras that it should hold."""
        return share(self._session.watcher, self.watchers, self._cameras)

    @property
    def watchers(self) -> tuple[str, ...]:
        """Watchers that are alive, in order."""
        return self._roster.watchers

    def moves(self) -> Iterator[float]:
        """Do what is to be done; yields seconds to wait, with one request at most between two of them."""
        while True:
            try:
                yield from self._round()
            except LeaseTaken:
                pass  # somebody was faster; the next round sees what has become of it
            except LeasesAway as err:
                log.warning("the division of the cameras is not known: %s", err)
            yield self._timing.retry_seconds if self._is_waiting else self._timing.look_seconds

    def _round(self) -> Iterator[float]:
        self._stop_what_is_not_held()
        if not self._session.current:
            return
        yield from self._look()
        yield from self._let_go()
        yield from self._verify()
        yield from self._take()

    def _stop_what_is_not_held(self) -> None:
        """Stop what was held by an earlier session, or by one that must not be believed in now."""
        gone = {camera: lease for camera, lease in self._held.items() if not self.holds(camera)}
        if gone:
            log.warning("%d cameras are not this watcher's any more: its Lease has run out", len(gone))
            self._leaving |= {camera: self._held.pop(camera) for camera in gone}
            self._work.stop(gone)
        last = self._session.last  # what was an earlier one's is free
        self._leaving = {camera: lease for camera, lease in self._leaving.items() if lease.holder == last}

    def _look(self) -> Iterator[float]:
        self._roster.see(self._leases.listed(WATCHER), self._clock())
        for lease in self._roster.silent:
            yield 0.0
            with contextlib.suppress(LeaseTaken):  # it has renewed it after all, or somebody else was faster
                self._leases.written(lease.given_up())
                log.warning("watcher %s has been silent for %g s: it is ended", lease.subject, lease.duration_seconds)
            self._roster.ended(lease)

    def _let_go(self) -> Iterator[float]:
        surplus = self._held.keys() - set(self.share[: self._most])
        self._leaving |= {camera: self._held.pop(camera) for camera in surplus}
        if surplus:
            self._work.stop(surplus)
        for camera, lease in list(self._leaving.items()):
            yield 0.0
            try:
                self._leases.written(lease.given_up())
                del self._leaving[camera]
            except LeaseTaken:
                yield 0.0
                self._has_left(self._leases.read(CAMERA, camera))

    def _has_left(self, now: Lease) -> None:
        """Note what has become of a Lease that was not as it had been known."""
        if now.holder == self._session.last:
            self._leaving[now.subject] = now
        else:
            self._leaving.pop(now.subject, None)

    def _verify(self) -> Iterator[float]:
        """Find Leases that somebody else has changed, by hand for instance."""
        if self._clock() < self._verify_at:
            return
        yield 0.0
        before = dict(self._held)
        found = {lease.subject: lease.holder for lease in self._leases.listed(CAMERA)}
        self._verify_at = self._clock() + self._timing.verify_seconds
        for camera in [camera for camera, lease in before.items() if found.get(camera) != lease.holder]:
            yield 0.0
            if self._leases.read(CAMERA, camera).holder != before[camera].holder:
                del self._held[camera]
                self._work.stop([camera])

    def _take(self) -> Iterator[float]:
        wanted = [camera for camera in self.share[: self._most] if camera not in self._held]
        self._is_waiting = bool(wanted)
        if not wanted:
            return
        yield 0.0
        known = {lease.subject: lease for lease in self._leases.listed(CAMERA)}
        taken: dict[str, int] = {}
        try:
            for camera in wanted:
                yield 0.0
                yield from self._take_one(known.get(camera) or self._leases.unwritten(CAMERA, camera), taken)
        finally:
            self._begin(taken)
        self._is_waiting = any(camera not in self._held for camera in wanted)

    def _take_one(self, lease: Lease, taken: dict[str, int]) -> Iterator[float]:
        """Hold a camera from the answer to a write of one's own on, whatever its Lease said before."""
        session, camera = self._session.current, lease.subject
        if lease.holder not in {"", session}:
            yield from self._ask_about(lease.holder)
            if lease.holder not in self._over:
                return
        if not session or session != self._session.current:
            return
        wanted = lease.taken_by(session, self._timing.lease_seconds)
        self._leaving[camera] = wanted  # until it is known: an answer may be lost, of this write or of an earlier one
        try:
            self._held[camera] = self._leases.written(wanted)
        except LeaseTaken:
            return
        del self._leaving[camera]
        taken[camera] = self._held[camera].epoch
        if len(taken) >= _TOGETHER:
            self._begin(taken)

    def _ask_about(self, session: str) -> Iterator[float]:
        """Find out whether a session is over; once it is, it is for ever."""
        if session in self._over or self._roster.may_live(session):
            return
        if self._leases.read(WATCHER, session.partition("/")[0]).holder != session:
            self._over.add(session)
        yield 0.0

    def _begin(self, taken: dict[str, int]) -> None:
        if taken:
            self._work.begin(dict(taken))
            log.info("%d cameras taken, %d of %d held", len(taken), len(self._held), len(self.share))
            taken.clear()
