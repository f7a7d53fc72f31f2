"""The tables of a history; times are UTC without a time zone, which both databases keep."""

from datetime import UTC, datetime

from sqlalchemy import JSON, BigInteger, Column, DateTime, Float, Index, Integer, LargeBinary, MetaData, String, Table

SCHEMA = MetaData()

COUNTS = Table(
    "counts",
    SCHEMA,
    Column("at", DateTime, nullable=False),
    Column("camera", String(63), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("people", Float, nullable=False),
    Column("average", Float, nullable=False),
    Column("spread", Float),
    Column("frames", Integer, nullable=False),
    Column("people_per_m2", Float),
    Column("level", String(16)),
    Index("counts_by_zone", "camera", "zone", "at"),
    Index("counts_by_time", "at"),
)
"""A row for each zone of each count."""

STATUSES = Table(
    "statuses",
    SCHEMA,
    Column("at", DateTime, nullable=False),
    Column("camera", String(63), nullable=False),
    Column("status", String(16), nullable=False),
    Column("detail", String(500), nullable=False),
    Index("statuses_by_camera", "camera", "at"),
    Index("statuses_by_time", "at"),
)
"""A row for each time that a camera's status has changed: where counts are missing, it says why."""

ALERTS = Table(
    "alerts",
    SCHEMA,
    Column("id", String(36), primary_key=True),
    Column("camera", String(63), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("limit", Float, nullable=False),
    Column("value", Float, nullable=False),
    Column("raised_at", DateTime, nullable=False),
    Column("cleared_at", DateTime),
    Index("alerts_by_time", "raised_at"),
)

OUTBOX = Table(
    "outbox",
    SCHEMA,
    Column("id", String(48), primary_key=True),
    Column("address", String(32), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("since", DateTime, nullable=False),
    Column("camera", String(63), nullable=False, server_default=""),
)
"""Messages to webhooks that are still to be delivered."""

OWNERS = Table(
    "owners",
    SCHEMA,
    Column("camera", String(63), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("seen_at", DateTime, nullable=False),
)
"""Who may write about a camera: the watcher that has taken it last, by a number that grows with each taking."""

ZONES = Table(
    "zones",
    SCHEMA,
    Column("camera", String(63), primary_key=True),
    Column("base", String(64), nullable=False),
    Column("source", String(64), nullable=False, server_default=""),
    Column("zones", JSON, nullable=False),
    Column("changed_at", DateTime, nullable=False),
)
"""Zones of cameras that were changed in the console, with digests of what they take the place of, and of the source."""

VERSIONS = Table("schema_version", SCHEMA, Column("version", Integer, nullable=False))
"""One row: what these tables are."""


def to_time(at: float) -> datetime:
    """A moment, from seconds since the epoch."""
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None)


def to_seconds(time: datetime) -> float:
    """Seconds since the epoch."""
    return time.replace(tzinfo=UTC).timestamp()
