"""Prometheus's metrics of the cameras, made from the board whenever they are asked for.

Labels are the names in the configuration and nothing else. A zone of a camera that is not counted has no series, so
that nobody takes an old number for a new one.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from crowdserve.live.board import Board
from crowdserve.live.levels import LEVELS
from crowdserve.live.observations import COUNTED, STATUSES, ZoneReading

_CAMERA, _ZONE = ("camera",), ("camera", "zone")


class BoardCollector(Collector):
    """The metrics of a board.

    Args:
        board: It.
        deliveries: Webhook messages by outcome.
    """

    def __init__(self, board: Board, deliveries: Mapping[str, int] | None = None) -> None:
        self._board = board
        self._deliveries = deliveries if deliveries is not None else {}

    def collect(self) -> Iterator[Metric]:
        """Every metric, as it is now."""
        yield from self._of_cameras()
        yield from self._of_zones()
        yield from self._of_the_division()
        yield from self._of_the_history()
        sent = CounterMetricFamily("crowdserve_webhook_deliveries", "Tries to deliver a message.", labels=("outcome",))
        for outcome, number in sorted(self._deliveries.items()):
            sent.add_metric((outcome,), number)
        yield sent

    def _of_the_division(self) -> Iterator[Metric]:
        texts = {
            "watchers": "Watchers that divide the cameras and are alive.",
            "held": "Cameras that this watcher holds.",
            "share": "Cameras that this watcher should hold.",
        }
        for name, number in self._board.division().items():
            yield GaugeMetricFamily(f"crowdserve_division_{name}", texts[name], value=number)

    def _of_the_history(self) -> Iterator[Metric]:
        state = self._board.history()
        if state is None:
            return
        name = "crowdserve_history"
        yield GaugeMetricFamily(f"{name}_up", "Whether the history is written.", value=float(state.away_since is None))
        yield GaugeMetricFamily(
            f"{name}_waiting", "Readings and changes of alerts that are not yet written.", value=state.waiting
        )
        yield CounterMetricFamily(f"{name}_lost", "Readings that will never be written.", value=state.lost)

    def _of_cameras(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("crowdserve_camera_up", "Whether the camera is counted.", labels=_CAMERA)
        status = GaugeMetricFamily(
            "crowdserve_camera_status", "1 for what the camera is now, 0 for the rest.", labels=(*_CAMERA, "status")
        )
        at = GaugeMetricFamily(
            "crowdserve_camera_reading_timestamp_seconds", "When the newest reading was made.", labels=_CAMERA
        )
        rounds = CounterMetricFamily("crowdserve_camera_rounds", "Readings by status.", labels=(*_CAMERA, "status"))
        frames = CounterMetricFamily("crowdserve_camera_frames", "Frames that have arrived.", labels=_CAMERA)
        lost = CounterMetricFamily("crowdserve_camera_reconnects", "Times that the source was lost.", labels=_CAMERA)
        seconds = GaugeMetricFamily("crowdserve_camera_count_seconds", "Time of the newest count.", labels=_CAMERA)
        every = GaugeMetricFamily("crowdserve_camera_every_seconds", "Time from one count to the next.", labels=_CAMERA)
        for name, facts in self._board.cameras().items():
            if name in self._board.every:
                every.add_metric((name,), self._board.every[name])
            now = facts.reading.status if facts.reading else "starting"
            up.add_metric((name,), float(now == COUNTED))
            for each in STATUSES:
                status.add_metric((name, each), float(now == each))
                rounds.add_metric((name, each), facts.outcomes.get(each, 0))
            frames.add_metric((name,), facts.frames_read)
            lost.add_metric((name,), facts.reconnects)
            if facts.reading:
                at.add_metric((name,), facts.reading.at)
                seconds.add_metric((name,), facts.reading.seconds)
        yield from (up, status, at, rounds, frames, lost, seconds, every)

    def _of_zones(self) -> Iterator[Metric]:
        metrics: dict[str, tuple[str, Callable[[ZoneReading], float | None]]] = {
            "people": ("People in the zone, averaged over the last frames.", lambda zone: zone.average.people),
            "people_spread": ("Spread of that average, as a standard deviation.", lambda zone: zone.average.spread),
            "people_per_m2": ("People per square metre.", lambda zone: zone.density),
            "level": ("Level: 0 free, 1 busy, 2 dense, 3 critical.", _level),
            "over_limit": ("Whether an alert of the zone is raised.", lambda zone: float(bool(zone.over))),
        }
        zones = [
            (name, zone)
            for name, facts in self._board.cameras().items()
            if facts.reading
            for zone in facts.reading.zones
        ]
        for suffix, (text, value_of) in metrics.items():
            family = GaugeMetricFamily(f"crowdserve_zone_{suffix}", text, labels=_ZONE)
            for camera, zone in zones:
                value = value_of(zone)
                if value is not None:
                    family.add_metric((camera, zone.zone), value)
            yield family


def registry_of(board: Board, deliveries: Mapping[str, int] | None = None) -> CollectorRegistry:
    """A registry with the metrics of a board."""
    registry = CollectorRegistry()
    registry.register(BoardCollector(board, deliveries))
    return registry


def _level(zone: ZoneReading) -> float | None:
    return None if zone.level is None else float(LEVELS.index(zone.level))
