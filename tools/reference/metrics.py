"""The reference of the transformer's Prometheus metrics."""

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

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
