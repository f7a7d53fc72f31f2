"""Zones that go before those of a configuration's file, kept beside the history."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update

from crowdserve.errors import CrowdServeError
from crowdserve.live.history.store import HistoryStore
from crowdserve.live.history.tables import ZONES, to_seconds, to_time


class CameraTaken(CrowdServeError):
    """Another watcher has taken a camera meanwhile."""


@dataclass(frozen=True, slots=True)
class KeptZones:
    """The zones of a camera.

    Attributes:
        base: Digest of the zones in the file that they take the place of.
        zones: They, as a file has them.
        changed_at: When they were, seconds since the epoch.
        source: Digest of the source on whose picture they were drawn; empty if it is not known.
    """

    base: str
    zones: Sequence[Any]
    changed_at: float
    source: str = ""


class ZoneTable:
    """The zones in one history.

    Args:
        store: It. Methods raise SQLAlchemyError if it does not answer.
    """

    def __init__(self, store: HistoryStore) -> None:
        self._store = store

    @property
    def is_shared(self) -> bool:
        """Whether watchers on other machines read the same one."""
        return bool(self._store.engine.dialect.name == "postgresql")

    def put(self, camera: str, kept: KeptZones) -> None:
        """Keep zones of a camera that this watcher has.

        Raises:
            CameraTaken: If another one has it by now, which may have read those before.
        """
        row = {
            "base": kept.base,
            "zones": list(kept.zones),
            "changed_at": to_time(kept.changed_at),
            "source": kept.source,
        }
        with self._store.engine.begin() as connection:
            if camera in self._store.lost(connection):
                raise CameraTaken(f"another watcher has taken {camera!r} over; try again in a moment")
            if not connection.execute(update(ZONES).where(ZONES.c.camera == camera).values(row)).rowcount:
                connection.execute(insert(ZONES).values(row | {"camera": camera}))

    def drop(self, camera: str, before: float | None = None) -> None:
        """Forget those of a camera.

        Args:
            camera: It.
            before: Only if they were changed before this moment.
        """
        its = ZONES.c.camera == camera
        if before is not None:
            its &= ZONES.c.changed_at < to_time(before)
        with self._store.engine.begin() as connection:
            connection.execute(delete(ZONES).where(its))

    def read(self, cameras: Iterable[str]) -> dict[str, KeptZones]:
        """Those of some cameras, by name."""
        query = select(ZONES).where(ZONES.c.camera.in_(list(cameras)))
        with self._store.engine.connect() as connection:
            return {
                row["camera"]: KeptZones(row["base"], row["zones"], to_seconds(row["changed_at"]), row["source"])
                for row in connection.execute(query).mappings()
            }
