"""A history's database."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, Engine, Integer, delete, func, insert, select, update
from sqlalchemy import cast as cast_column
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from crowdserve.errors import SetupError
from crowdserve.live.history.engine import engine_of
from crowdserve.live.history.tables import ALERTS, COUNTS, OUTBOX, OWNERS, STATUSES, to_seconds, to_time
from crowdserve.live.history.versions import check, prepare
from crowdserve.live.observations import Alert, Message, Reading
from crowdserve.live.secrets import hide_in_urls

_ROWS_AT_A_TIME = 5_000


class HistoryStore:
    """A database of counts and alerts; its tables are made if they are missing.

    Args:
        url: SQLAlchemy's URL, such as ``sqlite:///history.db`` or ``postgresql+psycopg://user:password@host/name``.
        read_only: Whether it is there to be read, and nothing is written or made.

    Raises:
        SetupError: If it cannot be opened.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.shown = hide_in_urls(url)
        try:
            self._engine = engine_of(url, read_only=read_only)
            (check if read_only else prepare)(self._engine, self.shown)
        except (ArgumentError, NoSuchModuleError, ImportError) as err:
            expected = "sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
            raise SetupError(f"the history's URL is {self.shown}; expected {expected}, and its package") from err
        except SQLAlchemyError as err:
            raise SetupError(f"the history {self.shown} cannot be opened: {reason(err)}") from err
        self._status: dict[str, tuple[int, str]] = {}
        self._epochs: dict[str, int] = {}
        self._watched: frozenset[str] = frozenset()

    def record(
        self,
        readings: Iterable[Reading],
        alerts: Iterable[Alert],
        messages: Iterable[Message] = (),
        settled: Iterable[Message] = (),
    ) -> None:
        """Keep readings and alerts, all of them or none; but nothing of cameras that another watcher has claimed.

        Args:
            readings: New ones.
            alerts: New ones, and what has become of others.
            messages: About those alerts, to be delivered.
            settled: Messages that are not to be delivered any more.

        Raises:
            SQLAlchemyError: If the database does not take them.
        """
        alerts, messages = list(alerts), list(messages)
        with self._engine.begin() as connection:
            lost = self.lost(connection)
            readings = [reading for reading in readings if reading.camera not in lost]
            counts = [row for reading in readings for row in _count_rows(reading)]
            known = dict(self._status)
            statuses = [
                row for reading in readings for row in _status_rows(reading, known, self._epochs.get(reading.camera, 0))
            ]
            if counts:
                connection.execute(insert(COUNTS), counts)
            if statuses:
                connection.execute(insert(STATUSES), statuses)
            for alert in alerts:
                if alert.camera not in lost:
                    _put_alert(connection, alert)
            for message in messages:
                if message.camera not in lost:
                    connection.execute(insert(OUTBOX).values(asdict(message) | {"since": to_time(message.since)}))
            for message in settled:
                its = (OUTBOX.c.id == message.id) & (OUTBOX.c.address == message.address)
                connection.execute(delete(OUTBOX).where(its))
        self._status = known

    def claim(self, epochs: Mapping[str, int], at: float) -> list[Alert]:
        """Take cameras over; what a watcher writes about them that has taken them earlier is refused from now on.

        Args:
            epochs: By camera, a number that grows with each taking; 0 where nobody takes cameras from another.
            at: Now.

        Returns:
            Alerts of these cameras that are not over.
        """
        with self._engine.begin() as connection:
            for camera, epoch in sorted(epochs.items()):
                row = {"epoch": epoch, "seen_at": to_time(at)}
                older = (OWNERS.c.camera == camera) & (OWNERS.c.epoch <= epoch)
                if connection.execute(update(OWNERS).where(older).values(row)).rowcount:
                    continue
                if connection.execute(select(OWNERS.c.epoch).where(OWNERS.c.camera == camera)).first() is None:
                    connection.execute(insert(OWNERS).values(row | {"camera": camera}))
            self._epochs, self._watched = self._epochs | dict(epochs), self._watched | epochs.keys()
            its = ALERTS.c.camera.in_(list(epochs)) & ALERTS.c.cleared_at.is_(None)
            return [_alert(row) for row in connection.execute(select(ALERTS).where(its)).mappings()]

    def give_up(self, cameras: Iterable[str]) -> None:
        """Leave cameras to whoever takes them; what is still to be written about them may be, until somebody has."""
        self._watched -= frozenset(cameras)

    def end_orphans(self, before: float, at: float) -> list[Alert]:
        """End alerts of cameras that no watcher has had for long, since a moment; each is returned to one caller."""
        with self._engine.begin() as connection:
            mine = OWNERS.c.camera.in_(sorted(self._watched))
            connection.execute(update(OWNERS).where(mine).values(seen_at=to_time(at)))
            watched = select(OWNERS.c.camera).where(OWNERS.c.seen_at >= to_time(before))
            its = ALERTS.c.cleared_at.is_(None) & (ALERTS.c.raised_at < to_time(before))
            found = connection.execute(select(ALERTS).where(its & ALERTS.c.camera.not_in(watched))).mappings().all()
            ended = []
            for row in found:
                same = (ALERTS.c.id == row["id"]) & ALERTS.c.cleared_at.is_(None)
                if connection.execute(update(ALERTS).where(same).values(cleared_at=to_time(at))).rowcount:
                    ended.append(replace(_alert(row), cleared_at=at))
            return ended

    def forget_before(self, at: float) -> None:
        """Remove what is older than a moment; alerts that are not over stay."""
        oldest = to_time(at)
        with self._engine.begin() as connection:
            for table in (COUNTS, STATUSES):
                connection.execute(delete(table).where(table.c.at < oldest))
            connection.execute(delete(ALERTS).where(ALERTS.c.cleared_at < oldest))

    def open_alerts(self) -> list[Alert]:
        """Alerts that are not over."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(ALERTS).where(ALERTS.c.cleared_at.is_(None)))
            return [_alert(row) for row in rows.mappings()]

    def undelivered(self, cameras: Iterable[str], addresses: Iterable[str]) -> list[Message]:
        """Messages about cameras to some webhooks that are still to be delivered, in order; others are forgotten.

        Those from before messages knew their camera belong to whoever asks first.
        """
        with self._engine.begin() as connection:
            its = OUTBOX.c.camera.in_(["", *cameras])
            connection.execute(delete(OUTBOX).where(its & OUTBOX.c.address.not_in(list(addresses))))
            rows = connection.execute(select(OUTBOX).where(its).order_by(OUTBOX.c.since, OUTBOX.c.id.desc()))
            return [Message(**row | {"since": to_seconds(row["since"])}) for row in map(dict, rows.mappings())]

    def counts(
        self, *, camera: str | None = None, since: float | None = None, until: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Rows of the counts, by time.

        Args:
            camera: Only of this one.
            since: From this moment on, seconds since the epoch.
            until: Before this moment.
        """
        query = select(COUNTS).order_by(COUNTS.c.at, COUNTS.c.camera, COUNTS.c.zone)
        if camera is not None:
            query = query.where(COUNTS.c.camera == camera)
        if since is not None:
            query = query.where(COUNTS.c.at >= to_time(since))
        if until is not None:
            query = query.where(COUNTS.c.at < to_time(until))
        with self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(query).mappings():
                yield dict(row)

    def averages(self, camera: str, zone: str, since: float, bucket_seconds: int) -> list[tuple[int, float, float]]:
        """The averages of a zone in spans of equal length, by time.

        Args:
            camera: Its camera.
            zone: It.
            since: From this moment on, seconds since the epoch.
            bucket_seconds: Length of a span.

        Returns:
            The start of each span that has counts, seconds since the epoch; the mean and the largest average in it.
        """
        second = (
            cast_column(func.strftime("%s", COUNTS.c.at), Integer)
            if self._engine.dialect.name == "sqlite"
            else cast_column(func.floor(func.extract("epoch", COUNTS.c.at)), Integer)
        )
        span = (second - second % bucket_seconds).label("span")
        own = (COUNTS.c.camera == camera) & (COUNTS.c.zone == zone) & (COUNTS.c.at >= to_time(since))
        query = select(span, func.avg(COUNTS.c.average), func.max(COUNTS.c.average)).where(own).group_by(span)
        with self._engine.connect() as connection:
            return [(int(at), float(mean), float(top)) for at, mean, top in connection.execute(query.order_by(span))]

    def last_alerts(self, number: int) -> list[Alert]:
        """The last alerts, the newest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(ALERTS).order_by(ALERTS.c.raised_at.desc()).limit(number))
            return [_alert(row) for row in rows.mappings()]

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's, for questions of one's own."""
        return self._engine

    def lost(self, connection: Connection) -> set[str]:
        """Cameras of this watcher that another one has claimed; nobody claims one until the transaction is over."""
        taken = {camera: epoch for camera, epoch in self._epochs.items() if epoch}
        if not taken:
            return set()
        query = select(OWNERS.c.camera, OWNERS.c.epoch).where(OWNERS.c.camera.in_(list(taken)))
        rows = connection.execute(query.order_by(OWNERS.c.camera).with_for_update(read=True))
        return {camera for camera, epoch in rows if epoch > taken[camera]}


def reason(err: SQLAlchemyError) -> str:
    """What a database says, in one line, without passwords."""
    return hide_in_urls(str(getattr(err, "orig", None) or err).partition("\n")[0])


def _count_rows(reading: Reading) -> Iterator[dict[str, Any]]:
    for zone in reading.zones:
        yield {
            "at": to_time(reading.at),
            "camera": reading.camera,
            "zone": zone.zone,
            "people": zone.people,
            "average": zone.average.people,
            "spread": zone.average.spread,
            "frames": zone.average.frames,
            "people_per_m2": zone.density,
            "level": zone.level,
        }


def _status_rows(reading: Reading, known: dict[str, tuple[int, str]], epoch: int) -> Iterator[dict[str, Any]]:
    """A row if the status is another than the last, or than the last of this watcher: others may have written since."""
    if known.get(reading.camera) != (epoch, reading.status):
        known[reading.camera] = (epoch, reading.status)
        at = to_time(reading.at)
        yield {"at": at, "camera": reading.camera, "status": reading.status, "detail": reading.detail[:500]}


def _put_alert(connection: Connection, alert: Alert) -> None:
    row = {name: getattr(alert, name) for name in ("id", "camera", "zone", "kind", "limit", "value")}
    row["raised_at"] = to_time(alert.raised_at)
    row["cleared_at"] = None if alert.cleared_at is None else to_time(alert.cleared_at)
    if not connection.execute(update(ALERTS).where(ALERTS.c.id == alert.id).values(row)).rowcount:
        connection.execute(insert(ALERTS).values(row))


def _alert(row: Any) -> Alert:
    fields = dict(row)
    fields["raised_at"] = to_seconds(cast(datetime, fields["raised_at"]))
    if fields["cleared_at"] is not None:
        fields["cleared_at"] = to_seconds(cast(datetime, fields["cleared_at"]))
    return Alert(**fields)
