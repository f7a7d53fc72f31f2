"""Zones that somebody has changed while the watcher runs, where its configuration's file cannot take them.

They go before those of the file for as long as the file says of this camera what it said when they were changed: its
zones, and where its picture comes from. Other zones of the file end them for good; with another source they rest, as
they were drawn on another picture. Where there is a history they are kept in it, so that they outlive a restart, and
the camera's next watcher finds them.
"""

import logging
import time
from collections.abc import Iterable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from crowdserve.live.addresses import identity_of
from crowdserve.live.configuration import Camera, WatchedZone
from crowdserve.live.configuration.reading import checked_zones
from crowdserve.live.configuration.zones import described, digest_of
from crowdserve.live.errors import ConfigurationError
from crowdserve.live.history.store import HistoryStore, reason
from crowdserve.live.history.zones import KeptZones, ZoneTable

log = logging.getLogger(__name__)

_DISAGREE_SECONDS = 600.0
"""How long watchers may have different versions of a file: a ConfigMap takes a minute or two to arrive everywhere."""


class Overrides:
    """The changed zones of a watcher's cameras.

    Args:
        store: Where they are kept; None for this process alone.

    Attributes:
        unread: Whether the history did not answer when it was asked last.
    """

    def __init__(self, store: HistoryStore | None) -> None:
        self._table = ZoneTable(store) if store is not None else None
        self._shown = store.shown if store is not None else ""
        self._known: dict[str, KeptZones] = {}
        self._unkept: set[str] = set()
        self.unread = False

    @property
    def are_kept(self) -> bool:
        """Whether they outlive this process."""
        return self._table is not None

    @property
    def are_shared(self) -> bool:
        """Whether watchers on other machines find them too."""
        return self._table is not None and self._table.is_shared

    def put(self, filed: Camera, zones: Sequence[WatchedZone], *, keep: bool = True) -> None:
        """Let zones go before those of the file.

        Args:
            filed: The camera as its file has it.
            zones: Its zones from now on.
            keep: Whether they are to be kept in the history, if there is one.

        Raises:
            CameraTaken: If another watcher has the camera by now.
            SQLAlchemyError: If the history does not take them.
        """
        kept = KeptZones(digest_of(filed.zones), described(zones), time.time(), identity_of(filed.source))
        if self._table is not None and keep:
            self._table.put(filed.name, kept)
            self._unkept.discard(filed.name)
        else:
            self._unkept.add(filed.name)  # what the history has of it is older
        self._known[filed.name] = kept

    def drop(self, camera: str) -> None:
        """Let those of the file count again: it has the newest."""
        self._known.pop(camera, None)
        self._unkept.discard(camera)
        try:
            if self._table is not None:
                self._table.drop(camera)
        except SQLAlchemyError as err:  # they are of another file than today's, and not used
            log.warning("history %s: old zones of %s could not be removed: %s", self._shown, camera, reason(err))

    def laid_over(self, cameras: Iterable[Camera]) -> dict[str, Camera]:
        """Cameras with the zones that count, by name.

        Args:
            cameras: They, as their file has them.
        """
        cameras = list(cameras)
        self._read([camera.name for camera in cameras])
        return {camera.name: self._laid_over(camera) for camera in cameras}

    def _read(self, names: list[str]) -> None:
        if self._table is None or not names:
            return
        try:
            found = self._table.read(names)
        except SQLAlchemyError as err:
            self.unread = True
            log.warning("history %s: zones that are kept there are not known: %s", self._shown, reason(err))
            return
        self.unread = False
        own = {name: kept for name, kept in self._known.copy().items() if name not in names or name in self._unkept}
        self._known = found | own

    def _laid_over(self, camera: Camera) -> Camera:
        kept = self._known.get(camera.name)
        if kept is None:
            return camera
        if kept.base != digest_of(camera.zones):
            self._forget(camera.name, kept)
            return camera
        if kept.source not in {"", identity_of(camera.source)}:
            log.warning(
                "camera %s: its source is not the one on whose picture zones were changed in the console, so those of "
                "the file count; change them anew in the console if that is the same view",
                camera.name,
            )
            return camera
        try:
            zones = checked_zones(camera, kept.zones)
        except ConfigurationError as err:
            log.warning("camera %s: its changed zones do not fit it any more: %s", camera.name, err)
            return camera
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept.changed_at))
        log.info("camera %s: its zones are those that were changed in the console on %s", camera.name, at)
        return camera.model_copy(update={"zones": zones})

    def _forget(self, name: str, kept: KeptZones) -> None:
        """Forget zones for good whose file has changed, unless another watcher may have the newer file."""
        del self._known[name]
        self._unkept.discard(name)
        before = time.time() - _DISAGREE_SECONDS
        log.info("camera %s: the file's zones have changed, and go before those of the console", name)
        if self._table is None or kept.changed_at >= before:
            return
        try:
            self._table.drop(name, before)
        except SQLAlchemyError as err:
            log.warning("history %s: old zones of %s could not be removed: %s", self._shown, name, reason(err))
