"""Readings and alerts of tests."""

from crowdserve.live.averaging import Estimate
from crowdserve.live.observations import Alert, AlertKind, Reading, ZoneReading


def reading(camera: str = "a", at: float = 0.0, people: float = 12.0, over: tuple[AlertKind, ...] = ()) -> Reading:
    """A camera with a zone of 10 m² in its picture."""
    picture = ZoneReading("picture", 2 * people, Estimate(2 * people, None, 1), None, None, ())
    gate = ZoneReading("gate", people, Estimate(people, 0.5, 3), 10.0, "busy", over)
    return Reading(camera, at, "counted", zones=(picture, gate), seconds=0.25)


def not_counted(status: str = "frozen", camera: str = "a", at: float = 0.0) -> Reading:
    """A camera that is not counted."""
    return Reading(camera, at, status, f"the picture is {status}")


def alert(
    name: str = "id-1",
    camera: str = "a",
    raised_at: float = 0.0,
    cleared_at: float | None = None,
    zone: str = "gate",
) -> Alert:
    """An alert of a zone."""
    return Alert(name, camera, zone, "people", 10, 12, raised_at, cleared_at)
