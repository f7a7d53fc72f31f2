"""Other zones for a camera: watched from now on, and kept where whoever watches it next finds them."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from crowdserve.console.cameras import IN_HISTORY, Changed, Refused, WatcherAway, ZonesChanged
from crowdserve.errors import SetupError
from crowdserve.live.configuration import WatchedZone
from crowdserve.live.configuration.editing import write_zones, zones_text
from crowdserve.live.configuration.zones import digest_of
from crowdserve.live.history.store import reason
from crowdserve.live.history.zones import CameraTaken
from crowdserve.live.publishing import Publishing
from crowdserve.live.watcher import Watcher

log = logging.getLogger(__name__)

_BY_HAND = "put them into the cameras' configuration instead, in a cluster watcher.site of the chart's values"


class Rezoning:
    """Changes the zones of a watcher's cameras, one after the other.

    A file that can be written takes them. Where it cannot, as in a ConfigMap, the history does. A watcher that shares
    its cameras with others gives up a change that they would not know of.

    Args:
        watcher: It.
        publishing: Its outputs.
        file: Its configuration; None if the cameras were named on the command line.
    """

    def __init__(self, watcher: Watcher, publishing: Publishing, file: Path | None) -> None:
        self._watcher = watcher
        self._publishing = publishing
        self._file = file
        self._one = threading.Lock()

    def change(self, camera: str, zones: Sequence[WatchedZone], begun_from: str | None = None) -> Changed:
        """Watch these zones, which have been checked.

        Args:
            camera: Of which.
            zones: They.
            begun_from: Version of the zones that they are meant to take the place of; None for whatever is there.

        Raises:
            ZonesChanged: If others are there by now.
            Refused: If they would be lost when another watcher takes the camera.
            WatcherAway: If one is taking it now, or the shared history does not answer.
        """
        with self._one:
            if begun_from is not None and begun_from != self._version(camera):
                raise ZonesChanged(
                    f"the zones of {camera!r} have been changed by somebody else meanwhile, and yours were not saved; "
                    "load the page anew to see theirs, and change those"
                )
            changed = self._shared(camera, zones) if self._watcher.is_divided else self._alone(camera, zones)
            self._watcher.change_zones(camera, zones, filed=changed.kept and changed.where != IN_HISTORY)
        log.info("camera %s: its zones were changed in the console; kept: %s", camera, changed.kept and changed.where)
        return replace(changed, version=digest_of(zones))

    def _version(self, camera: str) -> str:
        site = self._watcher.configuration.site
        return next((digest_of(each.zones) for each in site.cameras if each.name == camera), "")

    def _alone(self, camera: str, zones: Sequence[WatchedZone]) -> Changed:
        overrides = self._publishing.overrides
        why = self._written(camera, zones)
        if not why:
            overrides.drop(camera)
            return Changed(True)
        filed = self._watcher.filed(camera)
        if self._file is not None and overrides.are_kept:
            try:
                overrides.put(filed, zones)
                return Changed(True, why, zones_text(zones), IN_HISTORY)
            except SQLAlchemyError as err:
                log.warning("the history does not take zones of %s: %s", camera, self._publishing.hide(reason(err)))
                why = f"{why}, and the history does not take them now"
        overrides.put(filed, zones, keep=False)
        return Changed(False, why, zones_text(zones))

    def _shared(self, camera: str, zones: Sequence[WatchedZone]) -> Changed:
        if not self._watcher.watches(camera):
            raise WatcherAway(f"another watcher is taking {camera!r} over; try again in a moment")
        overrides = self._publishing.overrides
        if overrides.are_shared:
            try:
                overrides.put(self._watcher.filed(camera), zones)
            except CameraTaken as err:
                raise WatcherAway(str(err)) from err
            except SQLAlchemyError as err:
                log.warning("the history does not take zones of %s: %s", camera, self._publishing.hide(reason(err)))
                raise WatcherAway("the zones were not changed: the history does not take them now; try again") from err
            return Changed(True, "watchers share it", zones_text(zones), IN_HISTORY)
        why = self._written(camera, zones)
        if why:
            raise Refused(
                f"the zones were not changed, as the next watcher of {camera!r} would not know them: {why}, and there "
                f"is no history in PostgreSQL that the watchers share; {_BY_HAND}",
                yaml=zones_text(zones),
            )
        return Changed(True)

    def _written(self, camera: str, zones: Sequence[WatchedZone]) -> str:
        """Write zones into the file; says why not, if it cannot be."""
        if self._file is None:
            return "the cameras were named on the command line"
        try:
            write_zones(self._file, camera, zones, self._watcher.configuration.secrets)
        except SetupError as err:
            return self._publishing.hide(str(err))
        return ""
