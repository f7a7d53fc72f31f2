"""How long a Lease is good for, and how often it is looked at."""

from dataclasses import dataclass

_MUST_STOP, _RENEWALS = 2 / 3, 4


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of the division.

    Attributes:
        lease_seconds: Silence after which a watcher is taken for dead. All watchers should have the same; each goes by
            what the other's Lease says.
        look_seconds: Time between two looks at the others.
        retry_seconds: Time between two tries while there is no answer, or a camera is waited for.
        verify_seconds: Time between two looks at the Leases of all cameras that are held.
    """

    lease_seconds: float = 15.0
    look_seconds: float = 2.0
    retry_seconds: float = 1.0
    verify_seconds: float = 30.0

    @property
    def stop_seconds(self) -> float:
        """Time after a renewal was sent at which a watcher stops by itself.

        The third between this and the Lease is for clocks that run differently, and for what is on its way.
        """
        return self.lease_seconds * _MUST_STOP

    @property
    def renew_seconds(self) -> float:
        """Time between two renewals: a failed one leaves time for others."""
        return self.lease_seconds / _RENEWALS
