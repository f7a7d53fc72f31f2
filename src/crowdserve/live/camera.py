"""Watching one camera: its newest frame, every so often, to a reading."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator

from crowdserve.client.service import PhotoCount
from crowdserve.errors import CrowdServeError, SetupError
from crowdserve.live.assessment import Assessment
from crowdserve.live.capture import LIVE, Capture
from crowdserve.live.configuration import PICTURE, Camera
from crowdserve.live.frames import Frame, small_grey
from crowdserve.live.health import COUNTABLE, Health
from crowdserve.live.observations import ENDED, LOST, UNCOUNTED, Alert, Reading
from crowdserve.live.sources import open_source
from crowdserve.protocol.zones import Zone

log = logging.getLogger(__name__)

Count = Callable[[bytes, Camera, tuple[Zone, ...]], PhotoCount]
"""Counts the people in a picture and in the zones of a camera."""

Publish = Callable[[Reading, list[Alert], bytes | None], None]
"""Takes a reading, the alerts that it changes, and the picture, if there is one."""

_PATIENCE = 3
"""Times `every` that a connected camera may take for a new frame before it counts as lost."""


class CameraWatch:
    """The loop of one camera, in a thread.

    Args:
        camera: The camera.
        assessment: Makes readings of counts.
        count: Asks the service.
        publish: Takes the readings.
        may_count: Whether the camera is this watcher's now.
    """

    def __init__(
        self,
        camera: Camera,
        assessment: Assessment,
        count: Count,
        publish: Publish,
        may_count: Callable[[], bool] = lambda: True,
    ) -> None:
        self._may_count = may_count
        self.camera = camera
        self.capture = Capture(camera.name, self._open)
        self._assessment = assessment
        self._count = count
        self._publish = publish
        self._zones = tuple(zone for zone in (each.zone() for each in camera.watched()) if zone is not None)
        self._health = Health(camera.frozen_after)
        self._last_frame = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {camera.name}", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; `join` waits for it."""
        self._stopping.set()

    def join(self, timeout_seconds: float) -> None:
        """Wait until it has ended, or the time is over."""
        self._thread.join(timeout_seconds)

    @property
    def open_alerts(self) -> tuple[Alert, ...]:
        """Alerts that are raised."""
        return self._assessment.open_alerts

    @property
    def ended(self) -> bool:
        """Whether its file has been played and counted to the end."""
        return not self._thread.is_alive() and self.capture.state == ENDED

    def _open(self) -> Iterator[Frame]:
        return open_source(self.camera.source, self.camera.every, loop=self.camera.loop, pause=self.capture.pause)

    def _run(self) -> None:
        with self.capture:
            due = time.monotonic() + random.uniform(0, min(1.0, self.camera.every / 2))  # not all cameras at once
            while not self._stopping.wait(max(0.0, due - time.monotonic())):
                due = max(due + self.camera.every, time.monotonic())  # what came meanwhile is dropped
                try:
                    if self._may_count():
                        self._round()
                except Exception:
                    log.exception("camera %s: a round failed", self.camera.name)
                if self.capture.state == ENDED:
                    return

    def _round(self) -> None:
        frame = self.capture.take()
        if frame is not None:
            self._last_frame = time.monotonic()
            counted = self._counted(frame)
            if not self._stopping.is_set():  # somebody else may watch the camera by now, with its alerts
                self._publish(*counted)
        elif self.capture.state != LIVE:
            self._health.forget()
            self._publish(*self._assessment.not_counted(time.time(), self.capture.state, self.capture.detail), None)
        elif time.monotonic() - self._last_frame > _PATIENCE * self.camera.every:
            self._publish(*self._assessment.not_counted(time.time(), LOST, "no new frame comes"), None)

    def _counted(self, frame: Frame) -> tuple[Reading, list[Alert], bytes | None]:
        try:
            file = frame.jpeg()
            judged = self._health.judge(small_grey(file), time.monotonic())
            if judged != COUNTABLE:
                return *self._assessment.not_counted(frame.at, judged, f"the picture is {judged}"), file
        except CrowdServeError as err:
            return *self._assessment.not_counted(frame.at, LOST, f"the frame cannot be read: {err}"), None
        except (OSError, ValueError, MemoryError):  # of a decoder, whose words are of its insides
            return *self._assessment.not_counted(frame.at, LOST, "the frame cannot be read: it is damaged"), None
        try:
            found = self._count(file, self.camera, self._zones)
        except SetupError as err:
            return *self._assessment.not_counted(frame.at, UNCOUNTED, str(err).partition(";")[0]), file
        except CrowdServeError as err:
            return *self._assessment.not_counted(frame.at, UNCOUNTED, str(err)), file
        people = {PICTURE: found.count, **found.zones}
        return *self._assessment.counted(frame.at, people, found.seconds), file
