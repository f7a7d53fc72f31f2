"""Leases as the division uses them, whoever keeps them."""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from crowdserve.errors import CrowdServeError

Role = Literal["watcher", "camera"]
WATCHER: Role = "watcher"
CAMERA: Role = "camera"

_SHIFT = 2**20
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")


class LeaseTaken(CrowdServeError):
    """A Lease has changed since it was read: what was to be written was not."""


class LeasesAway(CrowdServeError):
    """There is no answer: what was to be written may have been, or may yet be."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease.

    Attributes:
        name: Of the object.
        role: Whether it is a watcher's or a camera's.
        subject: The watcher or the camera.
        holder: The session that holds it; empty if nobody does.
        duration_seconds: How long a watcher that does not renew it is believed to live.
        transitions: How often it has been taken.
        created: When the object was made, by the server's clock, seconds since the epoch; 0 if it was not yet.
        version: Changes with every write; empty if it was never written.
    """

    name: str
    role: Role
    subject: str
    holder: str = ""
    duration_seconds: float = 15.0
    transitions: int = 0
    created: int = 0
    version: str = ""

    @property
    def epoch(self) -> int:
        """A number that grows with each taking, also if somebody has removed the object in between."""
        return self.created * _SHIFT + self.transitions

    def taken_by(self, session: str, duration_seconds: float) -> "Lease":
        """The Lease with another holder."""
        return replace(self, holder=session, transitions=self.transitions + 1, duration_seconds=duration_seconds)

    def given_up(self) -> "Lease":
        """The Lease without a holder."""
        return replace(self, holder="")


class Leases(Protocol):
    """Where Leases are kept. Each method but the first is one request.

    Raises:
        LeasesAway: If there is no answer.
    """

    def unwritten(self, role: Role, subject: str) -> Lease:
        """One that does not exist yet; no request."""

    def listed(self, role: Role) -> list[Lease]:
        """Those of a role, perhaps as they were a short time ago."""

    def read(self, role: Role, subject: str) -> Lease:
        """One, as it is now; without a version if there is none."""

    def written(self, lease: Lease) -> Lease:
        """Write one; returns it with its new version.

        Raises:
            LeaseTaken: If it is not at the version given any more, or exists and none was given.
        """


def lease_name(prefix: str, role: Role, subject: str) -> str:
    """The name of an object: readable, and different for subjects that differ only in what a name cannot have."""
    readable = _NOT_IN_A_NAME.sub("-", subject.lower()).strip("-")
    return f"{prefix}-{role}-{readable}-{hashlib.sha256(subject.encode()).hexdigest()[:8]}"
