"""What a watcher finds out: readings of cameras and zones, and alerts. Outputs, history and pages take them."""

from dataclasses import dataclass
from typing import Literal

from crowdserve.live.averaging import Estimate

COUNTED, LOST, UNCOUNTED, STARTING, ENDED = "counted", "lost", "uncounted", "starting", "ended"
STATUSES = (COUNTED, "black", "covered", "frozen", LOST, UNCOUNTED, STARTING, ENDED)
"""What a camera can be: counted; a picture that shows nothing (`health`); without frames; without a service."""

AlertKind = Literal["people", "density", "camera"]
PEOPLE: AlertKind = "people"
DENSITY: AlertKind = "density"
CAMERA: AlertKind = "camera"


@dataclass(frozen=True, slots=True)
class ZoneReading:
    """The people in a zone at one moment.

    Attributes:
        zone: Its name.
        people: Of this frame.
        average: Of the last frames; alerts use it.
        area_m2: The zone's area on the ground; None if it is not known.
        level: free, busy, dense or critical; None without an area.
        over: The limits for which an alert is raised.
    """

    zone: str
    people: float
    average: Estimate
    area_m2: float | None
    level: str | None
    over: tuple[AlertKind, ...]

    @property
    def density(self) -> float | None:
        """People per m², of the average."""
        return self.average.people / self.area_m2 if self.area_m2 else None


@dataclass(frozen=True, slots=True)
class Reading:
    """A camera at one moment.

    Attributes:
        camera: Its name.
        at: When the frame was taken, or when there was none, seconds since the epoch.
        status: One of `STATUSES`.
        detail: Why it is not counted.
        zones: Its zones, the whole picture first; empty unless it is counted.
        seconds: How long counting took.
    """

    camera: str
    at: float
    status: str
    detail: str = ""
    zones: tuple[ZoneReading, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that people should know: a zone over its limit, a camera that is not counted.

    Attributes:
        id: The same when it is raised and when it is over.
        camera: The camera.
        zone: The zone; empty if it is about the camera.
        kind: people, density or camera.
        limit: What was exceeded: people, or people per m²; for a camera, seconds without a count.
        value: The average that exceeded it, or is below it now.
        raised_at: When it was raised, seconds since the epoch.
        cleared_at: When it was over; None until then.
    """

    id: str
    camera: str
    zone: str
    kind: AlertKind
    limit: float
    value: float
    raised_at: float
    cleared_at: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What a webhook is told.

    Attributes:
        id: The same in every try, and in every run.
        address: Which webhook; its URL, which may hold a secret, is not in it.
        body: The message.
        since: When it was made, seconds since the epoch.
        camera: The camera that it is about.
    """

    id: str
    address: str
    body: bytes
    since: float
    camera: str = ""


@dataclass(frozen=True, slots=True)
class HistoryState:
    """How the writing of the history goes.

    Attributes:
        waiting: Readings, and changes of alerts without one, that are not yet written.
        lost: Readings that will never be, since the writer began: too many waited, or the database refused them.
        away_since: Since when the database takes nothing, in seconds since the epoch; None if it does.
    """

    waiting: int = 0
    lost: int = 0
    away_since: float | None = None
