"""The reference of the Prometheus metrics: the transformer's and the watcher's."""

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from crowdserve.live.averaging import Estimate
from crowdserve.live.board import Board
from crowdserve.live.observations import HistoryState, Reading, ZoneReading
from crowdserve.live.outputs.metrics import registry_of
from crowdserve.pages.markdown import markdown_table
from crowdserve_transformer import metrics

SUFFIXES = {Counter: "_total", Histogram: "_bucket", Gauge: ""}
"""What the name of a metric's first series ends with."""


def metrics_table() -> str:
    """A row for each metric."""
    rows = []
    for metric in known_metrics():
        (described,) = metric.describe()
        series = f"`{described.name}{SUFFIXES[type(metric)]}`"
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        rows.append((series, described.type, labels, described.documentation))
    return markdown_table(("metric", "type", "labels", "meaning"), rows)


def known_metrics() -> list[MetricWrapperBase]:
    """The metrics that the transformer defines, in the order of their definition."""
    return [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]


def watcher_metrics_table() -> str:
    """A row for each metric of `crowdserve watch`."""
    board = Board()
    board.show(["camera"], {"camera": 5.0})
    board.division = lambda: dict.fromkeys(("watchers", "held", "share"), 1)
    board.history = HistoryState
    zone = ZoneReading("zone", 1.0, Estimate(1.0, 0.0, 3), 1.0, "free", ())
    board.put(Reading("camera", 0.0, "counted", zones=(zone,)), [])
    rows = []
    for family in registry_of(board, {"delivered": 1}).collect():
        labels = ", ".join(f"`{label}`" for label in family.samples[0].labels)
        name = f"{family.name}{'_total' if family.type == 'counter' else ''}"
        rows.append((f"`{name}`", family.type, labels, family.documentation.removesuffix(".")))
    return markdown_table(("metric", "type", "labels", "meaning"), rows)
