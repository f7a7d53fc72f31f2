"""The board: the newest reading of each camera and the last alerts, for metrics and pages to show."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from crowdserve.live.observations import Alert, HistoryState, Reading

_KEPT_ALERTS = 200


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """A camera on the board.

    Attributes:
        reading: Its newest reading; None until the first.
        outcomes: Rounds by status.
        frames_read: Frames that have arrived.
        reconnects: Times that its source was lost.
    """

    reading: Reading | None
    outcomes: dict[str, int]
    frames_read: int = 0
    reconnects: int = 0


class Board:
    """Shared by all threads.

    Attributes:
        every: Seconds from one count to the next, by camera.
        history: Gives how the writing of the history goes; None if there is none.
        division: Gives how the cameras are divided among watchers: those alive, and cameras held here and due here.

    Args:
        cameras: Names of the cameras, in order.
    """

    def __init__(self, cameras: Iterable[str] = ()) -> None:
        self._changed = threading.Condition()
        self._readings: dict[str, Reading | None] = dict.fromkeys(cameras)
        self._outcomes: dict[str, Counter[str]] = {}
        self._sources: dict[str, tuple[int, int]] = {}
        self._alerts: dict[str, Alert] = {}
        self._order: deque[str] = deque()
        self._version = 0
        self.every: dict[str, float] = {}
        self.division: Callable[[], Mapping[str, int]] = dict
        self.history: Callable[[], HistoryState | None] = lambda: None

    def show(self, cameras: Iterable[str], every: Mapping[str, float] | None = None) -> None:
        """Show these cameras and no others; what is known of them is kept.

        Args:
            cameras: Their names, in order.
            every: Seconds from one count to the next, by name.
        """
        with self._changed:
            self.every = dict(every or {})
            self._readings = {name: self._readings.get(name) for name in cameras}
            self._outcomes = {name: self._outcomes.get(name, Counter()) for name in self._readings}
            self._sources = {name: each for name, each in self._sources.items() if name in self._readings}
            self._note()

    def put(self, reading: Reading, alerts: Iterable[Alert], frames_read: int = 0, reconnects: int = 0) -> None:
        """Put a reading up, and the alerts that it has changed."""
        with self._changed:
            if reading.camera in self._readings:
                self._readings[reading.camera] = reading
                self._outcomes.setdefault(reading.camera, Counter())[reading.status] += 1
                self._sources[reading.camera] = (frames_read, reconnects)
        self.put_alerts(alerts)

    def put_alerts(self, alerts: Iterable[Alert]) -> None:
        """Put alerts up, or what has become of them."""
        with self._changed:
            for alert in alerts:
                self._put_alert(alert)
            self._note()

    def forget_alerts(self, cameras: Iterable[str]) -> None:
        """Take down what alerts of cameras are open: somebody else knows what becomes of them."""
        with self._changed:
            names = set(cameras)
            gone = [each for each, alert in self._alerts.items() if alert.camera in names and alert.cleared_at is None]
            for each in gone:
                self._order.remove(each)
                del self._alerts[each]
            self._note()

    def cameras(self) -> dict[str, CameraFacts]:
        """What is known of each camera, by name."""
        with self._changed:
            return {
                name: CameraFacts(reading, dict(self._outcomes.get(name, ())), *self._sources.get(name, (0, 0)))
                for name, reading in self._readings.items()
            }

    def alerts(self) -> list[Alert]:
        """The last alerts, the newest first."""
        with self._changed:
            return [self._alerts[each] for each in reversed(self._order)]

    def open_alerts(self) -> list[Alert]:
        """Alerts that are not over."""
        return [alert for alert in self.alerts() if alert.cleared_at is None]

    def wait(self, version: int, timeout_seconds: float) -> int:
        """Wait until the board is newer than a version, or the time is over; returns its version."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > version, timeout_seconds)
            return self._version

    def _put_alert(self, alert: Alert) -> None:
        if alert.id not in self._alerts:
            self._order.append(alert.id)
        self._alerts[alert.id] = alert
        over = [each for each in self._order if self._alerts[each].cleared_at is not None]
        for each in over[: max(0, len(self._order) - _KEPT_ALERTS)]:
            self._order.remove(each)
            del self._alerts[each]

    def _note(self) -> None:
        self._version += 1
        self._changed.notify_all()
