"""The cameras of the watcher in this process."""

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from crowdserve.console.cameras import Changed, Refused, UnknownCamera
from crowdserve.console.rezoning import Rezoning
from crowdserve.console.views import alert_view, camera_view, history_view
from crowdserve.console.wall import Wall
from crowdserve.live.board import CameraFacts
from crowdserve.live.configuration import PICTURE, Camera
from crowdserve.live.configuration.reading import checked_zones
from crowdserve.live.errors import ConfigurationError
from crowdserve.live.publishing import Publishing
from crowdserve.live.watcher import Watcher

log = logging.getLogger(__name__)

SPARK_STEP_SECONDS, SPARK_POINTS = 10, 90
_HISTORY_POINTS = 240
_ALERTS = 200
_LOOK_SECONDS, _REST_SECONDS = 1.0, 0.3
_AT_ONCE = 4
"""Pictures that are drawn, or histories that are read, at the same time."""


class WatcherBeside:
    """Reads the board, and changes the watcher.

    Args:
        watcher: It.
        publishing: Its outputs.
        file: The configuration, in which changes are kept; None if there is none.
    """

    changeable = True

    def __init__(self, watcher: Watcher, publishing: Publishing, file: Path | None) -> None:
        self._watcher = watcher
        self._publishing = publishing
        self._rezoning = Rezoning(watcher, publishing, file)
        self._sparks: dict[str, deque[tuple[int, float]]] = {}
        self._put: dict[str, tuple[Camera, CameraFacts, dict[str, float], float | None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def run(self, wall: Wall) -> None:
        """Keep the wall up to date until cancelled."""
        await asyncio.to_thread(self._remember)
        version = -1
        while True:
            version = await asyncio.to_thread(self._publishing.board.wait, version, _LOOK_SECONDS)
            try:
                self._put_all(wall)
            except Exception:  # one camera must not stop the others for good
                log.exception("the console could not show what has changed")
            await asyncio.sleep(_REST_SECONDS)  # several cameras are put up together

    async def picture(self, camera: str) -> tuple[float, bytes]:
        """The newest picture as it may be shown."""
        self._camera(camera)
        async with self._turns:
            found = await asyncio.to_thread(self._publishing.newest.look, camera)
        if found is None:
            raise UnknownCamera(f"there is no picture of {camera!r}")
        return found

    async def history(self, camera: str, zone: str, seconds: int) -> dict[str, Any]:
        """Averages of a zone over the last so many seconds."""
        self._camera(camera)
        store, step = self._publishing.history, max(SPARK_STEP_SECONDS, seconds // _HISTORY_POINTS)
        if store is None:
            spark = self._sparks.get(camera, ()) if zone == PICTURE else ()
            return {"kept": False, "step": SPARK_STEP_SECONDS, "points": [[at, people, people] for at, people in spark]}
        async with self._turns:
            points = await asyncio.to_thread(store.averages, camera, zone, time.time() - seconds, step)
        return {"kept": True, "step": step, "points": [[at, round(mean, 3), round(top, 3)] for at, mean, top in points]}

    async def change_zones(self, camera: str, zones: object, begun_from: str | None) -> Changed:
        """Watch other zones of a camera from now on, and keep them if they can be."""
        try:
            checked = checked_zones(self._camera(camera), zones)
        except ConfigurationError as err:
            raise Refused(*map(self._publishing.hide, err.messages)) from err
        return await asyncio.to_thread(self._rezoning.change, camera, checked, begun_from)

    def _camera(self, name: str) -> Camera:
        for camera in self._watcher.configuration.site.cameras:
            if camera.name == name:
                return camera
        raise UnknownCamera(f"no camera {name!r} is watched here")

    def _remember(self) -> None:
        """Take the last minutes from the history."""
        store, since = self._publishing.history, time.time() - SPARK_STEP_SECONDS * SPARK_POINTS
        if store is None:
            return
        with suppress(Exception):  # a database that is away is told by its writer
            for camera in self._watcher.configuration.site.cameras:
                rows = store.averages(camera.name, PICTURE, since, SPARK_STEP_SECONDS)
                self._sparks[camera.name] = deque(((at, mean) for at, mean, _ in rows), SPARK_POINTS)
            self._publishing.board.put_alerts(reversed(store.last_alerts(_ALERTS)))

    def _put_all(self, wall: Wall) -> None:
        site, facts = self._watcher.configuration.site, self._publishing.board.cameras()
        levels = {str(name): start for name, start in site.levels.items()}
        shown = [camera for camera in site.cameras if camera.name in facts]
        for camera in shown:
            shown_of = (camera, facts[camera.name], levels, self._publishing.newest.taken_at(camera.name))
            if self._put.get(camera.name) == shown_of:
                continue
            self._draw_spark(camera.name, facts[camera.name])
            spark = list(self._sparks.get(camera.name, ()))
            wall.put("camera", camera.name, camera_view(*shown_of[:3], spark, shown_of[3]))
            self._put[camera.name] = shown_of
        names = [camera.name for camera in shown]
        for name in set(wall.names("camera")) - set(names):
            wall.drop("camera", name)
            self._put.pop(name, None)
        alerts = self._publishing.board.alerts()[:_ALERTS]
        for alert in reversed(alerts):
            wall.put("alert", alert.id, alert_view(alert))
        for gone in set(wall.names("alert")) - {alert.id for alert in alerts}:
            wall.drop("alert", gone)
        still_open = sorted(alert.id for alert in alerts if alert.cleared_at is None)
        history = history_view(self._publishing.board.history())
        wall.put("cameras", "", {"names": names, "watchers": [], "open": still_open, "history": history})

    def _draw_spark(self, name: str, facts: CameraFacts) -> None:
        reading = facts.reading
        if reading is None or not reading.zones:
            return
        spark = self._sparks.setdefault(name, deque(maxlen=SPARK_POINTS))
        point = (int(reading.at) // SPARK_STEP_SECONDS * SPARK_STEP_SECONDS, reading.zones[0].average.people)
        while spark and spark[-1][0] >= point[0]:  # this point anew, and those of before the clock was set back
            spark.pop()
        spark.append(point)
