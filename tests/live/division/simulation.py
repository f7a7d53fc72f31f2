"""Watchers on machines that die, freeze, and lose their network, before an API server that does too; time is virtual.

The watchers are the real ones. A request takes effect when it is sent, when its sender has long given it up, or never.
"""

import contextlib
import heapq
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeVar

from crowdserve.live.division.leases import CAMERA, WATCHER, Lease, LeasesAway, LeaseTaken, Role, lease_name
from crowdserve.live.division.member import Member
from crowdserve.live.division.session import Session
from crowdserve.live.division.timing import Timing

TIMEOUT_SECONDS = 3.0
_T = TypeVar("_T")


class Server:
    """Leases with an API server's semantics: a write names the version it was made from, or is refused."""

    def __init__(self) -> None:
        self.objects: dict[str, Lease] = {}
        self.writes = 0
        self._versions = count(1)

    def write(self, lease: Lease, now: float) -> Lease:
        """Create or replace.

        Raises:
            LeaseTaken: With 409.
        """
        found = self.objects.get(lease.name)
        if (found.version if found else "") != lease.version:
            raise LeaseTaken("409")
        stored = replace(lease, version=str(next(self._versions)), created=lease.created or int(now) + 1)
        self.objects[lease.name] = stored
        self.writes += 1
        return stored


@dataclass
class Faults:
    """How likely a request meets what, by the kind of fault."""

    lost: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0
    frozen: float = 0.0


class World:
    """Everything, in virtual time.

    Args:
        seed: Of all that is random.
        faults: What requests meet.
    """

    def __init__(self, seed: int, faults: Faults | None = None) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.faults = faults or Faults()
        self.server = Server()
        self.is_away = False
        self.machines: list[Machine] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._cached: tuple[float, dict[str, Lease]] = (0.0, {})

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Let something happen."""
        heapq.heappush(self._events, (time, next(self._order), event))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until:
            time, _, event = heapq.heappop(self._events)
            self.now = max(self.now, time)
            event()
        self.now = until

    def join(self, name: str, cameras: Iterable[str], timing: Timing | None = None) -> "Machine":
        """Start a watcher."""
        machine = Machine(self, name, cameras, timing or Timing())
        self.machines.append(machine)
        return machine

    def alive(self) -> "list[Machine]":
        """Machines whose watcher runs."""
        return [machine for machine in self.machines if machine.runs]

    def cached(self) -> list[Lease]:
        """What lists show: up to a second old."""
        if self.now - self._cached[0] > self.random.uniform(0, 1):
            self._cached = (self.now, dict(self.server.objects))
        return list(self._cached[1].values())

    def counting(self, camera: str) -> "list[Machine]":
        """Machines that would count a camera now."""
        return [machine for machine in self.machines if machine.runs and machine.member.holds(camera)]


@dataclass
class Shift:
    """One time that a machine watches a camera."""

    machine: str
    begin: float
    end: float | None = None


@dataclass
class Machine:
    """One watcher, the clock of its machine, and its way to the server.

    Attributes:
        is_cut: Whether nothing gets through.
        frozen_until: Nothing of it runs until then; its clock goes on.
    """

    world: World
    name: str
    cameras: Iterable[str]
    timing: Timing
    runs: bool = True
    is_cut: bool = False
    frozen_until: float = 0.0
    shifts: dict[str, list[Shift]] = field(default_factory=dict)
    lead: float = 0.0

    def __post_init__(self) -> None:
        self._rate = 1 + self.world.random.uniform(-0.01, 0.01)
        self._offset = self.world.random.uniform(0, 1e6)
        self.session = Session(self, self.name, self.timing, self.clock)
        self.member = Member(self, self.session, self, self.timing, self.clock, 10_000)
        self.member.divide(self.cameras)
        for moves in (self.session.renewals(), self.member.moves()):
            self._schedule(moves, self.world.now)

    def clock(self) -> float:
        """Its own: neither the time of day nor the speed of others."""
        return self._offset + (self.world.now + self.lead) * self._rate

    def kill(self) -> None:
        """End it at once."""
        self.runs = False

    def leave(self) -> None:
        """Stop it as SIGTERM does."""
        self.stop(list(self.member.held))
        self.runs = False
        self.session.leave()

    def begin(self, epochs: Mapping[str, int]) -> None:
        """Watch."""
        for camera in epochs:
            self.shifts.setdefault(camera, []).append(Shift(self.name, self.world.now))

    def stop(self, cameras: Iterable[str]) -> None:
        """Stop watching."""
        for camera in cameras:
            if self.shifts.get(camera):
                self.shifts[camera][-1].end = self.world.now

    def unwritten(self, role: Role, subject: str) -> Lease:
        """A new one."""
        return Lease(lease_name("fleet", role, subject), role, subject)

    def listed(self, role: Role) -> list[Lease]:
        """Perhaps a bit old."""
        return self._request(lambda: [lease for lease in self.world.cached() if lease.role == role])

    def read(self, role: Role, subject: str) -> Lease:
        """As it is."""
        fresh = self.unwritten(role, subject)
        return self._request(lambda: self.world.server.objects.get(fresh.name, fresh))

    def written(self, lease: Lease) -> Lease:
        """Write, and look whether a camera has two owners now."""
        was_valid = bool(self.session.current)
        stored = self._request(lambda: self.world.server.write(lease, self.world.now))
        if lease.role == CAMERA and lease.holder:
            self._check([lease.subject])
        elif lease.role == WATCHER and lease.subject == self.name and not was_valid:
            self._check(list(self.member.held))
        return stored

    def _check(self, cameras: list[str]) -> None:
        for camera in cameras:
            others = [each.name for each in self.world.counting(camera) if each is not self]
            assert not others, f"{self.world.now:.2f}: {camera} is counted by {self.name} and {others}"

    def _request(self, effect: Callable[[], _T]) -> _T:
        world, draw = self.world, self.world.random.random()
        if world.is_away or self.is_cut or draw < world.faults.lost:
            return self._away()
        draw -= world.faults.lost
        if draw < world.faults.late:
            world.at(world.now + world.random.uniform(0, 40), lambda: _quietly(effect))
            return self._away()
        draw -= world.faults.late
        result = effect()
        if draw < world.faults.unanswered:
            return self._away()
        draw -= world.faults.unanswered
        self.lead += world.random.uniform(0, 40) if draw < world.faults.frozen else world.random.uniform(0.002, 0.05)
        return result

    def _away(self) -> _T:
        self.lead += TIMEOUT_SECONDS
        raise LeasesAway("no answer")

    def _schedule(self, moves: Iterator[float], time: float) -> None:
        self.world.at(time, lambda: self._move(moves))

    def _move(self, moves: Iterator[float]) -> None:
        if not self.runs:
            return
        if self.world.now < self.frozen_until:
            self._schedule(moves, self.frozen_until)
            return
        pause = next(moves)
        until, self.lead = self.world.now + self.lead + pause / self._rate, 0.0
        self._schedule(moves, until)


def _quietly(effect: Callable[[], object]) -> None:
    with contextlib.suppress(LeaseTaken):
        effect()
