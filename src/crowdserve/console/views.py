"""Readings, zones and alerts as the JSON that pages get. Sources of cameras are not in it: they may hold passwords."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from crowdserve.live.board import CameraFacts
from crowdserve.live.configuration import Camera, WatchedZone
from crowdserve.live.configuration.zones import digest_of
from crowdserve.live.observations import Alert, HistoryState, Reading, ZoneReading

_DIGITS = 3
_KEPT = 400
"""Cameras of a watcher, and as many that have been changed."""


def camera_view(
    camera: Camera, facts: CameraFacts, levels: dict[str, float], spark: list[tuple[int, float]], picture: float | None
) -> dict[str, Any]:
    """A camera.

    Args:
        camera: Its configuration.
        facts: Its newest reading.
        levels: People per m² from which on a zone is at each level.
        spark: Moments and people of the last minutes.
        picture: When its picture was taken.
    """
    reading = facts.reading or Reading(camera.name, 0.0, "starting")
    return {
        "name": camera.name,
        "at": reading.at,
        "status": reading.status,
        "detail": reading.detail,
        "seconds": _rounded(reading.seconds),
        "every": camera.every,
        "frames_read": facts.frames_read,
        "reconnects": facts.reconnects,
        "zones": [_zone_view(zone) for zone in reading.zones],
        **_what_stays(camera),
        "levels": levels,
        "spark": [[at, _rounded(people)] for at, people in spark],
        "picture": picture,
    }


@lru_cache(_KEPT)
def _what_stays(camera: Camera) -> Mapping[str, Any]:
    """What a view has of the configuration; areas on the ground take longer than all the rest."""
    return {
        "configured": [_configured(zone) for zone in camera.zones],
        "zones_version": digest_of(camera.zones),
        "areas": {name: _rounded(area) for name, area in camera.areas_m2().items()},
    }


def alert_view(alert: Alert) -> dict[str, Any]:
    """An alert."""
    return asdict(alert) | {"value": _rounded(alert.value), "limit": _rounded(alert.limit)}


def history_view(state: HistoryState | None) -> dict[str, Any] | None:
    """What is wrong with the writing of the history; None if nothing is, or there is none."""
    if state is None or (state.away_since is None and not state.lost):
        return None
    return {"away_since": state.away_since, "lost": state.lost}


def _zone_view(zone: ZoneReading) -> dict[str, Any]:
    return {
        "name": zone.zone,
        "people": _rounded(zone.people),
        "average": _rounded(zone.average.people),
        "spread": _rounded(zone.average.spread),
        "area_m2": _rounded(zone.area_m2),
        "density": _rounded(zone.density),
        "level": zone.level,
        "over": list(zone.over),
    }


def _configured(zone: WatchedZone) -> dict[str, Any]:
    return zone.model_dump(mode="json", by_alias=True, exclude_none=True)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
