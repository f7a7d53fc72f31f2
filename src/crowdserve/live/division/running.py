"""The division in threads: one renews the session, one takes cameras and lets them go."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from crowdserve.live.division.leases import Leases, LeasesAway, LeaseTaken
from crowdserve.live.division.member import Member, Work
from crowdserve.live.division.session import Session
from crowdserve.live.division.timing import Timing

log = logging.getLogger(__name__)

_STOP_SECONDS = 8.0
_LEAVE_TRIES = 3


def steady_seconds() -> float:
    """Seconds that go on while this machine is suspended, where there is such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class Division:
    """Context manager around the threads.

    Args:
        leases: Where Leases are kept.
        watcher: Name of this watcher, the same after a restart.
        place: Id of its pod; empty if there is none.
        timing: Times.
        most: Most cameras that it takes.
    """

    def __init__(
        self, leases: Leases, watcher: str, place: str = "", timing: Timing | None = None, most: int = 200
    ) -> None:
        self._leases = leases
        self._watcher = watcher
        self._place = place
        self._timing = timing or Timing()
        self._most = most
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._session: Session | None = None
        self._member: Member | None = None
        self._cameras: tuple[str, ...] = ()

    def start(self, work: Work) -> None:
        """Begin to take cameras."""
        session = Session(self._leases, self._watcher, self._timing, steady_seconds, self._place)
        self._member = Member(self._leases, session, work, self._timing, steady_seconds, self._most)
        self._member.divide(self._cameras)
        self._session = session
        for name, moves in (("renewals", session.renewals), ("division", self._member.moves)):
            self._threads.append(threading.Thread(target=self._run, args=(moves,), name=name, daemon=True))
            self._threads[-1].start()

    def divide(self, cameras: Iterable[str]) -> None:
        """Say which cameras there are."""
        self._cameras = tuple(cameras)
        if self._member is not None:
            self._member.divide(self._cameras)

    def holds(self, camera: str) -> bool:
        """Whether this watcher, and nobody else, may count a camera now."""
        return self._member is not None and self._member.holds(camera)

    def pause(self) -> None:
        """Take no more cameras and let none go; those that are held stay so until the session ends."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_STOP_SECONDS)

    def leave(self) -> None:
        """Let the others take everything, now that nothing is watched any more."""
        for _ in range(_LEAVE_TRIES):
            try:
                if self._session is not None:
                    self._session.leave()
            except (LeaseTaken, LeasesAway) as err:
                log.warning("this watcher's Lease could not be given up: %s", err)
                continue
            return

    def facts(self) -> dict[str, int]:
        """Numbers for metrics: watchers that are alive, cameras that are held, and that should be."""
        if self._member is None:
            return {"watchers": 0, "held": 0, "share": 0}
        member = self._member
        return {"watchers": len(member.watchers), "held": len(member.held), "share": len(member.share)}

    def _run(self, begin: Callable[[], Iterator[float]]) -> None:
        moves = begin()
        while not self._stopping.is_set():
            try:
                pause = next(moves)
            except StopIteration:
                return
            except Exception:  # without renewals this watcher would stop for good
                log.exception("the division of the cameras: a move failed")
                moves, pause = begin(), self._timing.retry_seconds
            self._stopping.wait(pause)
