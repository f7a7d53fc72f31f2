"""The roster: which other watchers are alive, by how long their Leases have not changed."""

from collections.abc import Iterable

from crowdserve.live.division.leases import Lease


class Silence:
    """How long Leases have not changed, on the clock of who looks: clocks of different machines are never compared."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}

    def is_over(self, lease: Lease, now: float) -> bool:
        """Whether a Lease has been unchanged for its whole duration.

        Args:
            lease: As it is now.
            now: Seconds on a clock of one's own, after the answer has come.
        """
        version, since = self._seen.get(lease.name, ("", now))
        if version != lease.version:
            since = now
            self._seen[lease.name] = (lease.version, since)
        return now - since >= lease.duration_seconds


class Roster:
    """The other watchers.

    Args:
        own: Name of this one.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._silence = Silence()
        self._alive: dict[str, Lease] = {}
        self._silent: dict[str, Lease] = {}

    def see(self, leases: Iterable[Lease], now: float) -> None:
        """Take in the Leases of all watchers."""
        held = {lease.subject: lease for lease in leases if lease.holder and lease.subject != self._own}
        self._silent = {name: lease for name, lease in held.items() if self._silence.is_over(lease, now)}
        self._alive = {name: lease for name, lease in held.items() if name not in self._silent}

    @property
    def watchers(self) -> tuple[str, ...]:
        """This watcher and those that are alive, in order."""
        return tuple(sorted({self._own, *self._alive}))

    @property
    def silent(self) -> tuple[Lease, ...]:
        """Leases of those that have been silent for too long."""
        return tuple(self._silent.values())

    def may_live(self, session: str) -> bool:
        """Whether a session is that of a watcher that has not been ended."""
        return any(lease.holder == session for lease in (*self._alive.values(), *self._silent.values()))

    def ended(self, lease: Lease) -> None:
        """Note that a silent watcher's session is over."""
        self._silent.pop(lease.subject, None)
