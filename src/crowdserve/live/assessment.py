"""A camera's counts to readings and alerts: averages, densities, levels, limits."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from crowdserve.live.alarms import Alarm, Change
from crowdserve.live.averaging import RobustAverage
from crowdserve.live.configuration import Camera, WatchedZone
from crowdserve.live.levels import FREE, LevelName, level_of
from crowdserve.live.observations import CAMERA, DENSITY, PEOPLE, Alert, AlertKind, Reading, ZoneReading

AlarmName = tuple[str, AlertKind]
"""A zone, or an empty text for the camera, and what its limit is of."""


class Assessment:
    """Of one camera; it keeps what the next count is compared with.

    Args:
        camera: The camera.
        levels: Where each level begins, people per m².
        open_alerts: Alerts of it that an earlier run has raised and not ended.
        clock: Seconds that are never set forward or back, to tell how long a limit is exceeded; the times of the
            frames are taken if None.
    """

    def __init__(
        self,
        camera: Camera,
        levels: Mapping[LevelName, float],
        open_alerts: Iterable[Alert] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self._camera = camera
        self._levels = levels
        self._areas = camera.areas_m2()
        self._averages = {zone.name: RobustAverage(camera.average_over) for zone in camera.watched()}
        self._level = dict.fromkeys(self._averages, FREE)
        self._alarms = dict(_alarms(camera))
        self._open: dict[AlarmName, Alert] = {}
        for alert in open_alerts:
            name = (alert.zone, alert.kind)
            if name in self._alarms:
                self._alarms[name].raised_at, self._open[name] = alert.raised_at, alert

    @property
    def open_alerts(self) -> tuple[Alert, ...]:
        """Alerts that are raised."""
        return tuple(self._open.values())

    def counted(self, at: float, people: Mapping[str, float], seconds: float) -> tuple[Reading, list[Alert]]:
        """Take a count in.

        Args:
            at: When the frame was taken, seconds since the epoch.
            people: Head count of each zone, the whole picture's as `PICTURE`.
            seconds: How long counting took.

        Returns:
            The reading, and alerts that are raised or over now.
        """
        changes = self._update(("", CAMERA), 0.0, at)
        zones = []
        for zone in self._camera.watched():
            reading = self._zone(zone, people[zone.name])
            changes += self._update((zone.name, PEOPLE), reading.average.people, at)
            if reading.density is not None:
                changes += self._update((zone.name, DENSITY), reading.density, at)
            over = tuple(kind for name, kind in self._open if name == zone.name)
            zones.append(replace(reading, over=over))
        return Reading(self._camera.name, at, "counted", zones=tuple(zones), seconds=seconds), changes

    def not_counted(self, at: float, status: str, detail: str) -> tuple[Reading, list[Alert]]:
        """Take in that there is no count; alerts of zones stay as they are."""
        for average in self._averages.values():
            average.forget()
        return Reading(self._camera.name, at, status, detail), self._update(("", CAMERA), 1.0, at)

    def _zone(self, zone: WatchedZone, people: float) -> ZoneReading:
        area = self._areas.get(zone.name)
        average = self._averages[zone.name].add(people)
        level = None
        if area is not None:
            level = self._level[zone.name] = level_of(average.people / area, self._levels, self._level[zone.name])
        return ZoneReading(zone.name, people, average, area, level, ())

    def _update(self, name: AlarmName, value: float, at: float) -> list[Alert]:
        alarm = self._alarms.get(name)
        change = alarm.update(value, at, self._clock() if self._clock else None) if alarm is not None else None
        if alarm is None or change is None:
            return []
        zone, kind = name
        if change is Change.CLEARED:
            return [replace(self._open.pop(name), value=value, cleared_at=at)]
        limit = self._camera.lost_after if kind == CAMERA else alarm.limit
        self._open[name] = Alert(str(uuid.uuid4()), self._camera.name, zone, kind, limit, value, at)
        return [self._open[name]]


def _alarms(camera: Camera) -> Iterable[tuple[AlarmName, Alarm]]:
    yield ("", CAMERA), Alarm(0.5, camera.lost_after)
    for zone in camera.watched():
        for kind, limit in ((PEOPLE, zone.limit), (DENSITY, zone.density_limit)):
            if limit is not None:
                yield (zone.name, kind), Alarm(limit, zone.for_seconds, zone.hysteresis)
