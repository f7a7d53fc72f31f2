"""Zones of a camera: where they are, how large, and how many people are too many."""

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from crowdserve.errors import InvalidRequest
from crowdserve.live.durations import seconds_of
from crowdserve.protocol.zones import Zone, make_zone

PICTURE = "picture"
"""The name of the zone that is the whole picture; it needs no polygon."""

_LONGEST_SECONDS = 100 * 365.25 * 86400
"""A century: what is longer is a mistake, and more than clocks of the system take."""


def _no_truth(value: object) -> object:
    """Anything but `true`, `no`, `off`: YAML has more words for those than people expect."""
    if isinstance(value, bool):
        raise ValueError("expected a number; for none, write null or leave it out")
    return value


Number = Annotated[float, BeforeValidator(_no_truth)]
Whole = Annotated[int, BeforeValidator(_no_truth)]
Seconds = Annotated[float, BeforeValidator(seconds_of), Field(ge=0, le=_LONGEST_SECONDS)]
Point = tuple[Number, Number]


class Strict(BaseModel):
    """A part of the configuration: nothing unknown, and nothing that changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _reaches_in(values: tuple[float, ...]) -> bool:
    return max(values) > 0 and min(values) < 1


class WatchedZone(Strict):
    """A zone and its limits.

    Attributes:
        name: What it is called.
        polygon: Corners in fractions of the picture's sides.
        polygon_px: Corners in pixels of the picture instead.
        area_m2: Its area on the ground; the calibration gives it if left out.
        limit: People from which on it is too full.
        density_limit: People per m² from which on it is too full.
        for_seconds: How long it has to be too full before an alert is raised (`for`).
        hysteresis: Share of a limit by which the people must be fewer before the alert is over.
    """

    name: str
    polygon: tuple[Point, ...] | None = None
    polygon_px: tuple[Point, ...] | None = None
    area_m2: Number | None = Field(default=None, gt=0)
    limit: Number | None = Field(default=None, gt=0)
    density_limit: Number | None = Field(default=None, gt=0)
    for_seconds: Seconds = Field(default=0.0, alias="for")
    hysteresis: Number = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _has_one_shape(self) -> "WatchedZone":
        given = [shape for shape in (self.polygon, self.polygon_px) if shape is not None]
        if len(given) != (0 if self.name == PICTURE else 1):
            expected = "none, as it is the whole picture" if self.name == PICTURE else "one of polygon and polygon_px"
            raise ValueError(f"zone {self.name!r} has {len(given)} polygons; expected {expected}")
        self.zone()
        if self.polygon is not None and not all(map(_reaches_in, zip(*self.polygon, strict=True))):
            raise ValueError(
                f"zone {self.name!r} lies outside of the picture, which goes from 0 to 1; correct its corners"
            )
        return self

    def zone(self) -> Zone | None:
        """It, as a request carries it; None for the whole picture."""
        if self.name == PICTURE:
            return None
        shape, in_px = (self.polygon_px, True) if self.polygon is None else (self.polygon, False)
        try:
            return make_zone(self.name, shape, in_px=in_px)
        except InvalidRequest as err:
            raise ValueError(str(err)) from err


def described(zones: Iterable[WatchedZone]) -> list[Any]:
    """Zones as JSON, without what is as by default, which a later version may know more of."""
    return [zone.model_dump(mode="json", by_alias=True, exclude_defaults=True) for zone in zones]


def digest_of(zones: Iterable[WatchedZone]) -> str:
    """What tells zones from others, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(described(zones), sort_keys=True).encode()).hexdigest()
