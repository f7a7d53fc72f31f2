"""What a site can say: its cameras and what becomes of their counts."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from crowdserve.cards import COUNTER_CHOICES, ROUTE_CHOICES
from crowdserve.live.addresses import fault_of_address
from crowdserve.live.calibration import GroundPlane
from crowdserve.live.configuration.zones import PICTURE, Number, Point, Seconds, Strict, WatchedZone, Whole
from crowdserve.live.levels import DEFAULT_LEVELS, LevelName
from crowdserve.live.secrets import signing_key

MAX_CAMERAS, MAX_SITE_CAMERAS, MAX_ZONES = 200, 2000, 32
"""Cameras of a watcher, of a site whose watchers divide them, and zones of a camera: they are labels of metrics."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("expected at most 63 letters, digits, dots, hyphens and underscores")
    return name


def _signing(secret: str) -> str:
    """A secret that can sign: text, or `whsec_` and base64."""
    signing_key(secret)
    return secret


def _taker(url: str) -> str:
    """The address of a webhook, to which a message could be sent."""
    try:
        parts = urlsplit(url)
        has_host = bool(httpx.URL(url).host) and " " not in parts.netloc and parts.port != 0
        is_whole = has_host and url.isprintable() and url == url.strip()
    except (ValueError, httpx.InvalidURL):
        is_whole = False
    if not is_whole:
        raise ValueError("expected an address such as https://HOST:PORT/PATH")
    return url


def _database(url: str) -> str:
    """The URL of a database whose dialect the history speaks."""
    if not re.match(r"(sqlite|postgresql(\+\w+)?):", url):
        raise ValueError("expected sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME")
    if re.fullmatch(r"sqlite:(//)?/?(:memory:)?(\?.*)?", url):
        raise ValueError("it names no file, and a history in memory is lost; expected sqlite:///FILE, or null for none")
    return url


def _as_text(source: object) -> object:
    """The number of a video device, as text."""
    return str(source) if type(source) is int and source >= 0 else source


def _readable(source: str) -> str:
    """The address of a source that can be one."""
    fault = fault_of_address(source)
    if fault:
        raise ValueError(fault)
    return source


def _known(choices: tuple[str, ...]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return value

    return AfterValidator(check)


class Calibration(Strict):
    """A rectangle on the ground whose size is known.

    Attributes:
        corners: Its corners in the picture, in fractions of its sides: the near or far edge first, then around.
        width_m: Length of the edge from the first corner to the second.
        depth_m: Length of the edge from the second corner to the third.
    """

    corners: tuple[Point, Point, Point, Point]
    width_m: Number = Field(gt=0)
    depth_m: Number = Field(gt=0)


class Camera(Strict):
    """A camera.

    Attributes:
        name: What it is called, in metrics and messages.
        source: rtsp://…, http(s)://… (MJPEG, HLS, a snapshot), a video file, a folder, /dev/video0 or 0.
        every: Seconds from one count to the next.
        route: As in a request.
        counter: As in a request.
        zones: Its zones.
        calibration: A known rectangle in its picture.
        average_over: Counts of which the median is taken.
        frozen_after: Seconds of the same picture after which it counts as frozen.
        lost_after: Seconds without a count after which an alert says so.
        loop: Whether a video file starts again at its end.
    """

    name: Annotated[str, AfterValidator(_named)]
    source: Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=2048), AfterValidator(_readable)]
    every: Annotated[Seconds, Field(gt=0)] = 5.0
    route: Annotated[str, _known(ROUTE_CHOICES)] | None = None
    counter: Annotated[str, _known(COUNTER_CHOICES)] | None = None
    zones: tuple[WatchedZone, ...] = Field(default=(), max_length=MAX_ZONES)
    calibration: Calibration | None = None
    average_over: Whole = Field(default=5, ge=1, le=100)
    frozen_after: Annotated[Seconds, Field(gt=0)] = 60.0
    lost_after: Seconds = 60.0
    loop: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> "Camera":
        _check_unique([zone.name for zone in self.zones], "zones")
        areas = self.areas_m2()
        for zone in self.zones:
            if zone.density_limit is not None and zone.name not in areas:
                raise ValueError(
                    f"zone {zone.name!r} has a density_limit and no area, so that it would never be over it; add its "
                    "area_m2, or a calibration of the camera"
                )
        return self

    def areas_m2(self) -> dict[str, float]:
        """The area of each zone that has one.

        Raises:
            ValueError: If the calibration does not give it.
        """
        areas = {zone.name: zone.area_m2 for zone in self.zones if zone.area_m2 is not None}
        if self.calibration is None:
            return areas
        ground = GroundPlane(self.calibration.corners, self.calibration.width_m, self.calibration.depth_m)
        for zone in self.zones:
            if zone.polygon_px is not None and zone.name not in areas:
                raise ValueError(
                    f"zone {zone.name!r} is in pixels; give it in fractions, as the calibration, or its area_m2"
                )
            if zone.polygon is not None and zone.name not in areas:
                areas[zone.name] = ground.area_m2(zone.polygon)
        return areas

    def watched(self) -> tuple[WatchedZone, ...]:
        """Its zones, the whole picture first."""
        if any(zone.name == PICTURE for zone in self.zones):
            return tuple(sorted(self.zones, key=lambda zone: zone.name != PICTURE))
        return (WatchedZone(name=PICTURE), *self.zones)


class Webhook(Strict):
    """Where alerts are sent.

    Attributes:
        url: It.
        secret: Signs every message; none is signed without.
        give_up_after: Seconds for which a message is tried again.
    """

    url: Annotated[str, Field(pattern=r"^https?://"), AfterValidator(_taker)]
    secret: Annotated[str, Field(min_length=16), AfterValidator(_signing)] | None = None
    give_up_after: Seconds = 24 * 3600.0


class History(Strict):
    """Where counts are kept.

    Attributes:
        url: SQLAlchemy's URL, of SQLite or PostgreSQL; None to keep none.
        keep: Seconds for which a count is kept.
    """

    url: Annotated[str, AfterValidator(_database)] | None = "sqlite:///crowdserve-history.db"
    keep: Annotated[Seconds, Field(gt=0)] = 30 * 86400.0


class Pictures(Strict):
    """Which pictures are kept, and for how long; none by default.

    Attributes:
        folder: Where.
        keep: Seconds; 0 for none.
        form: pixelated, or original, in which faces can be recognised.
        every: Seconds from one kept picture of a camera to the next.
        live: What the console shows of the newest picture, which is never written: pixelated, original or none.
    """

    folder: str = "crowdserve-pictures"
    keep: Seconds = 0.0
    form: Literal["pixelated", "original"] = "pixelated"
    every: Annotated[Seconds, Field(gt=0)] = 60.0
    live: Literal["pixelated", "original", "none"] = "pixelated"


class Site(Strict):
    """Everything that a watcher is told.

    Attributes:
        service: URL of the service that counts; None for that of the command line.
        cameras: The cameras.
        levels: People per m² from which on a zone is busy, dense and critical.
        webhooks: Where alerts are sent.
        history: Where counts are kept.
        pictures: Which pictures are kept.
        metrics_port: Port of Prometheus's metrics; None for none.
        metrics_host: Address that they are served at.
    """

    service: str | None = Field(default=None, pattern=r"^https?://")
    cameras: tuple[Camera, ...] = Field(min_length=1, max_length=MAX_SITE_CAMERAS)
    levels: dict[LevelName, Annotated[Number, Field(gt=0)]] = Field(default_factory=lambda: dict(DEFAULT_LEVELS))
    webhooks: tuple[Webhook, ...] = Field(default=(), max_length=8)
    history: History = History()
    pictures: Pictures = Pictures()
    metrics_port: Whole | None = Field(default=9108, ge=0, le=65535)
    metrics_host: str = "127.0.0.1"

    @model_validator(mode="after")
    def _is_consistent(self) -> "Site":
        _check_unique([camera.name for camera in self.cameras], "cameras")
        urls = [hook.url for hook in self.webhooks]
        if len(set(urls)) < len(urls):
            raise ValueError("webhooks: two have the same URL; each message is sent to a URL once")
        starts = [self.levels.get(name) for name in DEFAULT_LEVELS]
        if None in starts or starts != sorted(starts, key=lambda start: start or 0.0) or len(set(starts)) < len(starts):
            raise ValueError(f"levels: expected rising densities for {', '.join(DEFAULT_LEVELS)}")
        return self


def _check_unique(names: list[str], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what}: {twice[0]!r} is the name of several; give each a name of its own")
