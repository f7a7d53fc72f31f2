"""The watcher: all cameras of a site, counted by one service, until it is stopped."""

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial

from crowdserve.client.service import PhotoCount, ServiceClient
from crowdserve.live.assessment import Assessment
from crowdserve.live.camera import CameraWatch
from crowdserve.live.configuration import Camera, Configuration, Site, WatchedZone
from crowdserve.live.observations import Alert, Reading
from crowdserve.live.publishing import Publishing
from crowdserve.protocol.zones import Zone

log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0


class Watcher:
    """Context manager around the cameras' threads.

    Args:
        configuration: The site.
        client: Of the service that counts; its time-out should not be much longer than the cameras' `every`.
        publishing: Takes the readings.
    """

    def __init__(self, configuration: Configuration, client: ServiceClient, publishing: Publishing) -> None:
        self._configuration = configuration
        self._site = configuration.site
        self._turn = threading.Lock()
        self._client = client
        self._publishing = publishing
        self._watches: dict[str, CameraWatch] = {}
        for camera in self._site.cameras:
            self._watches[camera.name] = self._watch(camera, self._site)
        self._withdraw_others()

    def __enter__(self) -> "Watcher":
        for watch in self._watches.values():
            watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        _end(list(self._watches.values()))

    @property
    def ended(self) -> bool:
        """Whether every source was a file and has been played."""
        return all(watch.ended for watch in self._watches.values())

    @property
    def configuration(self) -> Configuration:
        """The site as it is watched."""
        return self._configuration

    def change(self, configuration: Configuration) -> None:
        """Go on with another configuration: cameras that are as they were go on as they are."""
        with self._turn:
            self._change(configuration)

    def change_zones(self, name: str, zones: Sequence[WatchedZone]) -> None:
        """Go on with other zones of a camera.

        Raises:
            KeyError: If it is not watched.
        """
        with self._turn:
            before = self._configuration
            changed = {
                c.name: c.model_copy(update={"zones": tuple(zones)}) for c in before.site.cameras if c.name == name
            }
            changed[name]
            cameras = tuple(changed.get(c.name, c) for c in before.site.cameras)
            self._change(Configuration(before.site.model_copy(update={"cameras": cameras}), before.secrets))

    def _change(self, configuration: Configuration) -> None:
        site = configuration.site
        same_levels = site.levels == self._site.levels
        kept = {c.name for c in site.cameras if same_levels and c in self._site.cameras}
        changed = [camera for camera in site.cameras if camera.name not in kept]
        _end([watch for name, watch in self._watches.items() if name not in kept])
        new = {camera.name: self._watch(camera, site) for camera in changed}
        self._publishing.change(configuration)
        self._configuration, self._site = configuration, site
        self._watches = {c.name: new.get(c.name) or self._watches[c.name] for c in site.cameras}
        self._withdraw_others()
        for watch in new.values():
            watch.start()
        log.info("configuration read: %d cameras, %d of them changed", len(site.cameras), len(new))

    def _watch(self, camera: Camera, site: Site) -> CameraWatch:
        own = [alert for alert in self._publishing.board.open_alerts() if alert.camera == camera.name]
        assessment = Assessment(camera, site.levels, own)
        return CameraWatch(camera, assessment, self._count, partial(self._publish, camera.name))

    def _withdraw_others(self) -> None:
        watched = {alert.id for watch in self._watches.values() for alert in watch.open_alerts}
        self._publishing.withdraw([a for a in self._publishing.board.open_alerts() if a.id not in watched])

    def _count(self, file: bytes, camera: Camera, zones: tuple[Zone, ...]) -> PhotoCount:
        newest, at = self._publishing.newest, time.time()
        wanted = newest.is_wanted(camera.name)
        found = self._client.count(file, route=camera.route, counter=camera.counter, density=wanted, zones=zones)
        newest.put(camera.name, at, file, found.density)
        return found

    def _publish(self, name: str, reading: Reading, alerts: list[Alert], picture: bytes | None) -> None:
        capture = self._watches[name].capture
        self._publishing.publish(reading, alerts, picture, capture.frames_read, capture.reconnects)


def _end(watches: list[CameraWatch]) -> None:
    until = time.monotonic() + _STOP_SECONDS
    for watch in watches:
        watch.stop()
    for watch in watches:
        watch.join(max(0.0, until - time.monotonic()))
