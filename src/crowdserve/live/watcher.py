"""The watcher: cameras of a site, counted by one service, until it is stopped. All of them, or its share."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from crowdserve.client.service import PhotoCount, ServiceClient, without_user
from crowdserve.live.assessment import Assessment
from crowdserve.live.camera import CameraWatch
from crowdserve.live.configuration import Camera, Configuration, Site, WatchedZone
from crowdserve.live.division.running import Division
from crowdserve.live.observations import Alert, Reading
from crowdserve.live.publishing import Publishing
from crowdserve.live.secrets import Secrets
from crowdserve.protocol.zones import Zone

log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0
_AGAIN_SECONDS = 15.0
_HAND_OVER_SECONDS = 1.0
"""Wait for a camera that is handed over: what it counts then is not published."""


class Watcher:
    """Context manager around the cameras' threads.

    Args:
        configuration: The site.
        client: Of the service that counts; its time-out should not be much longer than the cameras' `every`.
        publishing: Takes the readings.
        division: Says which cameras are this watcher's; all of them without.
    """

    def __init__(
        self,
        configuration: Configuration,
        client: ServiceClient,
        publishing: Publishing,
        division: Division | None = None,
    ) -> None:
        self._configuration = configuration
        self._site = self._filed = configuration.site
        self._client = client
        self._publishing = publishing
        self._division = division
        self._watches: dict[str, CameraWatch] = {}
        self._again: threading.Timer | None = None
        self._lock = threading.RLock()

    def __enter__(self) -> "Watcher":
        names = [camera.name for camera in self._site.cameras]
        if self._division is None:
            self.begin(dict.fromkeys(names, 0))
        else:
            self._publishing.board.show(())
            self._publishing.board.division = self._division.facts
            self._division.divide(names)
            self._division.start(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._division is not None:
            self._division.pause()
        if self._again is not None:
            self._again.cancel()
        _end(self._watches.values(), _STOP_SECONDS)

    @property
    def ended(self) -> bool:
        """Whether every source was a file and has been played."""
        return self._division is None and all(watch.ended for watch in list(self._watches.values()))

    @property
    def configuration(self) -> Configuration:
        """The site as it is watched."""
        return self._configuration

    @property
    def is_known_elsewhere(self) -> bool:
        """Whether counts or alerts go anywhere but to who listens."""
        return self._publishing.is_known_elsewhere

    def begin(self, epochs: Mapping[str, int]) -> None:
        """Watch cameras, with the alerts that are open for them.

        Args:
            epochs: By camera, a number that grows with each time that a watcher takes it; 0 without a division.
        """
        with self._lock:
            names = [camera.name for camera in self._site.cameras if camera.name in epochs]
            self._publishing.adopt({name: epochs[name] for name in names})
            self._set(self._laid_over(names), self._configuration.secrets)  # as who had them before has left them
            cameras = [camera for camera in self._site.cameras if camera.name in epochs]
            new = {camera.name: self._watch(camera, self._site) for camera in cameras}
            self._put(new)
            for watch in new.values():
                watch.start()

    def stop(self, cameras: Iterable[str]) -> None:
        """Stop watching cameras, and leave what is known of them to who takes them next."""
        with self._lock:
            gone = [name for name in cameras if name in self._watches]
            _end([self._watches.pop(name) for name in gone], _HAND_OVER_SECONDS)
            self._put({})
            self._publishing.release(gone)

    def change(self, configuration: Configuration) -> None:
        """Go on with another configuration: cameras that are as they were go on as they are."""
        with self._lock:
            self._filed = configuration.site
            ours = [camera.name for camera in self._filed.cameras if self._is_ours(camera.name)]
            self._go_on(Configuration(self._laid_over(ours), configuration.secrets))
        if self._division is not None:
            self._division.divide(camera.name for camera in configuration.site.cameras)

    def _go_on(self, configuration: Configuration) -> None:
        site = configuration.site
        same_levels = site.levels == self._site.levels
        kept = {c.name for c in site.cameras if same_levels and c in self._site.cameras}
        changed = [camera for camera in site.cameras if camera.name not in kept and self._is_ours(camera.name)]
        _end([watch for name, watch in self._watches.items() if name not in kept], _STOP_SECONDS)
        self._publishing.change(configuration)
        unknown = {camera.name: 0 for camera in changed if camera.name not in self._watches}
        self._publishing.adopt(unknown)
        new = {camera.name: self._watch(camera, site) for camera in changed}
        gone = self._watches.keys() - {camera.name for camera in site.cameras}
        self._set(site, configuration.secrets)
        self._watches = {name: watch for name, watch in self._watches.items() if name in kept}
        self._put(new, gone)
        for watch in new.values():
            watch.start()
        log.info("configuration read: %d cameras, %d of them changed", len(site.cameras), len(new))

    def change_zones(self, name: str, zones: Sequence[WatchedZone], *, filed: bool) -> None:
        """Go on with other zones of a camera; nothing changes if it has been taken out of the configuration.

        Args:
            name: It.
            zones: Its zones.
            filed: Whether they have been written into the file.
        """
        with self._lock:
            if filed:
                self._filed = _with_zones(self._filed, name, zones)
            self._go_on(Configuration(_with_zones(self._site, name, zones), self._configuration.secrets))

    def filed(self, name: str) -> Camera:
        """A camera as the configuration's file has it.

        Raises:
            KeyError: If it is not in there.
        """
        return {camera.name: camera for camera in self._filed.cameras}[name]

    @property
    def is_divided(self) -> bool:
        """Whether other watchers take cameras of the same configuration."""
        return self._division is not None

    def watches(self, name: str) -> bool:
        """Whether a camera is this watcher's now."""
        return name in self._watches and self._may_count(name)

    def _laid_over(self, names: Iterable[str]) -> Site:
        """The site as its file has it, some cameras with the zones that were changed in the console."""
        names = set(names)
        overrides = self._publishing.overrides
        changed = overrides.laid_over(camera for camera in self._filed.cameras if camera.name in names)
        as_before = {camera.name: camera for camera in self._site.cameras if camera.name in self._watches}
        if overrides.unread and self._again is None:
            self._again = threading.Timer(_AGAIN_SECONDS, self._lay_over_again)
            self._again.daemon = True
            self._again.start()
        cameras = tuple(changed.get(c.name) or as_before.get(c.name, c) for c in self._filed.cameras)
        return self._filed.model_copy(update={"cameras": cameras})

    def _lay_over_again(self) -> None:
        """Take the zones from a history that did not answer before."""
        with self._lock:
            self._again = None
            site = self._laid_over(self._watches)
            if site != self._site:
                self._go_on(Configuration(site, self._configuration.secrets))

    def _set(self, site: Site, secrets: Secrets) -> None:
        self._configuration, self._site = Configuration(site, secrets), site

    def _is_ours(self, name: str) -> bool:
        """Whether a camera of the configuration is watched here; one that is new to a division is taken by it."""
        return self._division is None or name in self._watches

    def _watch(self, camera: Camera, site: Site) -> CameraWatch:
        own = [alert for alert in self._publishing.board.open_alerts() if alert.camera == camera.name]
        assessment = Assessment(camera, site.levels, own, time.monotonic)
        publish, may_count = partial(self._publish, camera.name), partial(self._may_count, camera.name)
        return CameraWatch(camera, assessment, self._count, publish, may_count)

    def _put(self, new: dict[str, CameraWatch], gone: Iterable[str] = ()) -> None:
        """Take watches in, in the site's order, and end alerts of zones and limits that are not watched any more."""
        all_of_them = self._watches | new
        self._watches = {c.name: all_of_them[c.name] for c in self._site.cameras if c.name in all_of_them}
        every = {name: watch.camera.every for name, watch in self._watches.items()}
        self._publishing.board.show(self._watches, every)
        known = {alert.id for watch in self._watches.values() for alert in watch.open_alerts}
        ended = {*new, *gone}
        open_alerts = self._publishing.board.open_alerts()
        self._publishing.withdraw([a for a in open_alerts if a.camera in ended and a.id not in known])

    def _may_count(self, name: str) -> bool:
        return self._division is None or self._division.holds(name)

    def _count(self, file: bytes, camera: Camera, zones: tuple[Zone, ...]) -> PhotoCount:
        newest, at = self._publishing.newest, time.time()
        wanted = newest.is_wanted(camera.name)
        found = self._client.count(file, route=camera.route, counter=camera.counter, density=wanted, zones=zones)
        newest.put(camera.name, at, file, found.density)
        return found

    def _publish(self, name: str, reading: Reading, alerts: list[Alert], picture: bytes | None) -> None:
        watch = self._watches.get(name)
        if watch is None or not self._may_count(name):
            return  # somebody else counts it by now
        capture, service = watch.capture, without_user(self._client.url)
        reading = replace(reading, detail=reading.detail.replace(service, "its address"))  # it is nobody's who looks
        self._publishing.publish(reading, alerts, picture, capture.frames_read, capture.reconnects)


def _with_zones(site: Site, name: str, zones: Sequence[WatchedZone]) -> Site:
    changed = [c.model_copy(update={"zones": tuple(zones)}) if c.name == name else c for c in site.cameras]
    return site.model_copy(update={"cameras": tuple(changed)})


def _end(watches: Iterable[CameraWatch], seconds: float) -> None:
    watches = list(watches)
    until = time.monotonic() + seconds
    for watch in watches:
        watch.stop()
    for watch in watches:
        watch.join(max(0.0, until - time.monotonic()))
