"""The Grafana dashboard: requests to the service first, Triton's figures below."""

from typing import Any

from crowdserve.cards import ENSEMBLES

_SELECTED = 'namespace="$namespace",release="$release"'
_NETWORKS = f'{_SELECTED},model!~"{"|".join(ensemble.name for ensemble in ENSEMBLES.values())}"'
_WINDOW = "[$__rate_interval]"
_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 8

Panel = tuple[str, str, str, str]
"""Title, unit, legend, PromQL."""


def _rate(metric: str, by: str, labels: str = _SELECTED) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}{_WINDOW}))"


def _quantile(share: float, metric: str, by: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', f'{by}, le')})"


def _queue_seconds() -> str:
    """Average wait in Triton's queues: its microseconds over its requests."""
    waited = _rate("nv_inference_queue_duration_us", "track, model", _NETWORKS)
    return f"{waited} / {_rate('nv_inference_request_success', 'track, model', _NETWORKS)} / 1e6"


def _batch_size() -> str:
    images = _rate("nv_inference_count", "track, model", _NETWORKS)
    return f"{images} / {_rate('nv_inference_exec_count', 'track, model', _NETWORKS)}"


def _errors_percent() -> str:
    public = f'{_SELECTED},traffic!="tester"'
    failed = _rate("crowdserve_requests_total", "track", f'{public},status=~"5.."')
    return f"100 * {failed} / {_rate('crowdserve_requests_total', 'track', public)}"


_PANELS: tuple[Panel, ...] = (
    (
        "Requests",
        "reqps",
        "{{track}} {{protocol}} {{status}}",
        _rate("crowdserve_requests_total", "track, protocol, status"),
    ),
    ("Failed with 5xx", "percent", "{{track}}", _errors_percent()),
    ("Time to answer, 95th percentile", "s", "{{track}}", _quantile(0.95, "crowdserve_request_seconds", "track")),
    ("Time to answer, median", "s", "{{track}}", _quantile(0.5, "crowdserve_request_seconds", "track")),
    ("In flight", "short", "{{pod}}", f"sum by (pod) (crowdserve_requests_in_flight{{{_SELECTED}}})"),
    ("Photos by route", "short", "{{track}} {{route}}", _rate("crowdserve_pictures_total", "track, route")),
    (
        "Time per stage, 95th percentile",
        "s",
        "{{track}} {{stage}}",
        _quantile(0.95, "crowdserve_stage_seconds", "track, stage"),
    ),
    (
        "Calls to Triton, 95th percentile",
        "s",
        "{{track}} {{model}}",
        _quantile(0.95, "crowdserve_triton_seconds", "track, model"),
    ),
    (
        "Calls to Triton by outcome",
        "reqps",
        "{{track}} {{model}} {{outcome}}",
        _rate("crowdserve_triton_seconds_count", "track, model, outcome"),
    ),
    ("People per photo, median", "short", "{{track}}", _quantile(0.5, "crowdserve_picture_people", "track")),
    (
        "Photo size, 95th percentile, megapixels",
        "short",
        "{{track}}",
        _quantile(0.95, "crowdserve_picture_megapixels", "track"),
    ),
    (
        "Waiting in Triton",
        "short",
        "{{track}} {{model}}",
        f"sum by (track, model) (nv_inference_pending_request_count{{{_NETWORKS}}})",
    ),
    ("Time in Triton's queue", "s", "{{track}} {{model}}", _queue_seconds()),
    ("Photos per batch", "short", "{{track}} {{model}}", _batch_size()),
    ("Failures in Triton", "reqps", "{{track}} {{model}}", _rate("nv_inference_request_failure", "track, model")),
    ("GPU utilisation", "percentunit", "{{pod}} {{gpu_uuid}}", f"nv_gpu_utilization{{{_SELECTED}}}"),
    ("GPU memory", "bytes", "{{pod}} {{gpu_uuid}}", f"nv_gpu_memory_used_bytes{{{_SELECTED}}}"),
    ("GPU power", "watt", "{{pod}} {{gpu_uuid}}", f"nv_gpu_power_usage{{{_SELECTED}}}"),
)


def dashboard() -> dict[str, Any]:
    """The dashboard in Grafana's JSON model."""
    return {
        "uid": "crowdserve",
        "title": "crowdserve",
        "tags": ["crowdserve"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [_datasource(), _variable("namespace", ""), _variable("release", 'namespace="$namespace"')]
        },
        "panels": [_panel(index, panel) for index, panel in enumerate(_PANELS)],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(label: str, labels: str) -> dict[str, Any]:
    query = f"label_values(crowdserve_requests_in_flight{{{labels}}}, {label})"
    return {
        "name": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "query": {"query": query, "refId": label},
        "refresh": 2,
    }


def _panel(index: int, panel: Panel) -> dict[str, Any]:
    title, unit, legend, query = panel
    row, column = divmod(index, _COLUMNS)
    return {
        "id": index + 1,
        "title": title,
        "type": "timeseries",
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "expr": query, "legendFormat": legend}],
    }
