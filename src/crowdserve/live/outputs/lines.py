"""Readings and alerts as lines: JSON objects for programs, text for people."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from crowdserve.live.observations import Alert, Reading, ZoneReading


def json_lines(reading: Reading, alerts: Iterable[Alert]) -> list[str]:
    """A JSON object for a reading, and one for each alert that it changes."""
    return [json.dumps(reading_fields(reading)), *(json.dumps(alert_fields(alert)) for alert in alerts)]


def text_lines(reading: Reading, alerts: Iterable[Alert]) -> list[str]:
    """The same as text."""
    zones = ", ".join(_zone_text(zone) for zone in reading.zones)
    what = zones or f"{reading.status}: {reading.detail}"
    return [
        f"{_clock(reading.at)} {reading.camera}: {what}",
        *(f"{_clock(reading.at)} {alert_text(a)}" for a in alerts),
    ]


def reading_fields(reading: Reading) -> dict[str, Any]:
    """A reading as JSON."""
    fields: dict[str, Any] = {"at": timestamp(reading.at), "camera": reading.camera, "status": reading.status}
    if reading.detail:
        fields["detail"] = reading.detail
    return fields | {"zones": [_zone_fields(zone) for zone in reading.zones]}


def alert_fields(alert: Alert) -> dict[str, Any]:
    """An alert as JSON."""
    return {
        "alert": alert.id,
        "camera": alert.camera,
        "zone": alert.zone or None,
        "kind": alert.kind,
        "state": "raised" if alert.cleared_at is None else "cleared",
        "limit": alert.limit,
        "value": round(alert.value, 3),
        "raised_at": timestamp(alert.raised_at),
        "cleared_at": None if alert.cleared_at is None else timestamp(alert.cleared_at),
        "text": alert_text(alert),
    }


def alert_text(alert: Alert) -> str:
    """An alert in a sentence."""
    over = alert.cleared_at is not None
    if alert.kind == "camera":
        state = "is counted again" if over else f"has not been counted for {alert.limit:g} s"
        return f"camera {alert.camera} {state}"
    unit = "people" if alert.kind == "people" else "people per m²"
    state = "back below" if over else "over"
    return f"{alert.camera}, {alert.zone}: {state} its limit of {alert.limit:g} {unit}, with {alert.value:.1f}"


def timestamp(at: float) -> str:
    """A moment in UTC, as RFC 3339 has it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _zone_fields(zone: ZoneReading) -> dict[str, Any]:
    rounded = {"people": zone.people, "average": zone.average.people, "spread": zone.average.spread}
    fields: dict[str, Any] = {"zone": zone.zone}
    fields |= {name: None if value is None else round(value, 3) for name, value in rounded.items()}
    density = None if zone.density is None else round(zone.density, 3)
    return fields | {
        "frames": zone.average.frames,
        "people_per_m2": density,
        "level": zone.level,
        "over": list(zone.over),
    }


def _zone_text(zone: ZoneReading) -> str:
    spread = "" if zone.average.spread is None else f" ±{zone.average.spread:.1f}"
    level = "" if zone.level is None else f" ({zone.level}, {zone.density:.2f}/m²)"
    return f"{zone.zone} {zone.average.people:.1f}{spread}{level}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
