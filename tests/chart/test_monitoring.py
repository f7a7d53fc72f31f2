"""Metrics, alerts and the dashboard: valid PromQL over metrics that exist."""

import json
import re

import promql_parser
import pytest
from prometheus_client import REGISTRY

from crowdserve.live.board import Board
from crowdserve.live.division.api import ApiLeases
from crowdserve.live.division.running import Division
from crowdserve.live.observations import HistoryState
from crowdserve.live.outputs.metrics import registry_of
from crowdserve_transformer import metrics as transformer_metrics
from tests.support.rendering import CHART, Chart, Manifests

TRITON_ON_A_CPU = {
    "nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count", "nv_inference_exec_count",
    "nv_inference_queue_duration_us", "nv_inference_pending_request_count",
}  # fmt: skip
"""Compared with a running Triton in test_running.py."""
TRITON_ON_A_GPU = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_power_usage"}
"""From Triton's documentation of its metrics."""
GRAFANA = {"$__rate_interval": "5m", "$namespace": "ns", "$release": "rel"}


def queries(manifests: Manifests) -> list[str]:
    """Every query of alerts, autoscalers and the dashboard."""
    groups = [group for each in manifests.all("PrometheusRule") for group in each["spec"]["groups"]]
    alerts = [rule["expr"] for group in groups for rule in group["rules"]]
    scalers = [t["metadata"]["query"] for each in manifests.all("ScaledObject") for t in each["spec"]["triggers"]]
    dashboard = json.loads(manifests.one("ConfigMap", "counting-dashboard")["data"]["crowdserve.json"])
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for name, value in GRAFANA.items():
        panels = [query.replace(name, value) for query in panels]
    return [*alerts, *scalers, *panels]


@pytest.fixture(scope="session")
def everything(chart: Chart) -> Manifests:
    return chart.render("everything")


def test_every_query_is_promql(everything: Manifests) -> None:
    assert len(queries(everything)) > 20
    for query in queries(everything):
        promql_parser.parse(query)
    with pytest.raises(ValueError, match="promql"):
        promql_parser.parse("sum by track (x)")


def transformer_series() -> set[str]:
    """Names of the series that the transformer serves."""
    assert transformer_metrics.REQUESTS  # registered by its import
    ends = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    families = [family for family in REGISTRY.collect() if family.name.startswith("crowdserve_")]
    return {f"{family.name}{end}" for family in families for end in ends[family.type]}


def watcher_series() -> set[str]:
    """Names of the series that `crowdserve watch` serves."""
    board = Board()
    board.division = Division(ApiLeases(None, "ns", "fleet"), "watcher").facts
    board.history = HistoryState
    families = registry_of(board).collect()
    return {f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in families}


def test_every_metric_exists(everything: Manifests) -> None:
    used = {name for query in queries(everything) for name in re.findall(r"\b(?:crowdserve|nv)_[a-z_]+(?=\{)", query)}
    assert {name for name in used if name.startswith("crowdserve_")} <= transformer_series() | watcher_series()
    assert {name for name in used if name.startswith("nv_")} == TRITON_ON_A_CPU | TRITON_ON_A_GPU


def test_series_have_release_and_track_labels(chart: Chart) -> None:
    spec = chart.render("canary").one("PodMonitor")["spec"]
    assert [(each["port"], each["path"]) for each in spec["podMetricsEndpoints"]] == [
        ("metrics", "/metrics"),
        ("triton-metrics", "/metrics"),
    ]
    manifests = chart.render("canary")
    pod_labels = manifests.one("InferenceService", "rel-canary")["metadata"]["labels"]  # which KServe copies to pods
    meta = {f"__meta_kubernetes_pod_label_{re.sub('[^a-z]', '_', name)}": value for name, value in pod_labels.items()}
    for endpoint in spec["podMetricsEndpoints"]:
        series = {each["targetLabel"]: meta[each["sourceLabels"][0]] for each in endpoint["relabelings"]}
        assert series == {"release": "rel", "track": "canary"}
    ports = {port["name"] for each in (manifests.triton(), manifests.transformer()) for port in each["ports"]}
    assert {each["port"] for each in spec["podMetricsEndpoints"]} <= ports


@pytest.mark.parametrize("base", ["canary", "knative", "standalone"])
def test_scrapes_of_a_service_mesh_have_its_certificates(chart: Chart, base: str) -> None:
    """Istio with STRICT mutual TLS refuses any other."""
    mesh = {"ca": {"secret": {"name": "istio", "key": "ca.crt"}}, "keySecret": {"name": "istio", "key": "tls.key"}}
    monitor = {"enabled": True, "scheme": "https", "tlsConfig": {**mesh, "insecureSkipVerify": True}}
    for endpoint in chart.render(base, podMonitor=monitor).one("PodMonitor")["spec"]["podMetricsEndpoints"]:
        assert (endpoint["scheme"], endpoint["tlsConfig"]) == ("https", monitor["tlsConfig"])
    for endpoint in chart.render(base, podMonitor={"enabled": True}).one("PodMonitor")["spec"]["podMetricsEndpoints"]:
        assert not {"scheme", "tlsConfig"} & endpoint.keys()


def test_test_pods_and_jobs_are_not_scraped(chart: Chart) -> None:
    selector = chart.render("canary").one("PodMonitor")["spec"]["selector"]
    assert selector["matchExpressions"] == [{"key": "crowdserve.io/track", "operator": "Exists"}]
    for pod in chart.render("canary").all("Pod"):
        assert "crowdserve.io/track" not in pod["metadata"]["labels"]


def test_revision_is_scraped_by_address(chart: Chart) -> None:
    endpoints = chart.render("knative").one("PodMonitor")["spec"]["podMetricsEndpoints"]
    addresses = [each["relabelings"][0] for each in endpoints]
    assert [each["replacement"] for each in addresses] == ["$1:8082", "$1:8002"]
    assert {(each["sourceLabels"][0], each["targetLabel"]) for each in addresses} == {
        ("__meta_kubernetes_pod_ip", "__address__")
    }


def test_alerts_about_the_canary_come_with_the_canary(chart: Chart) -> None:
    def alerts(**values: object) -> set[str]:
        rule = chart.render("canary", **values).one("PrometheusRule")
        return {each["alert"] for each in rule["spec"]["groups"][0]["rules"]}

    always = {"CrowdserveErrors", "CrowdserveSlow", "CrowdserveQueueGrows"}
    assert alerts() == always | {"CrowdserveCanaryErrors", "CrowdserveCanarySlow"}
    assert alerts(canary={"enabled": False}) == always


def test_alerts_about_cameras_are_of_the_releases_namespace(chart: Chart) -> None:
    _, cameras = chart.render("canary").one("PrometheusRule")["spec"]["groups"]
    assert {rule["alert"] for rule in cameras["rules"]} == {
        "CrowdserveZoneOverLimit",
        "CrowdserveCameraNotCounted",
        "CrowdserveWatcherSilent",
        "CrowdserveCamerasNotTaken",
        "CrowdserveHistoryNotWritten",
        "CrowdserveHistoryLost",
        "CrowdserveWebhookGivenUp",
    }
    (silent,) = (rule["expr"] for rule in cameras["rules"] if rule["alert"] == "CrowdserveWatcherSilent")
    assert "last_over_time(" in silent  # the series of a watcher that is gone are stale at once
    for rule in cameras["rules"]:
        assert re.search(r'\{namespace="[\w-]+"', rule["expr"])
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= {"camera", "zone", "pod"}


def test_alert_thresholds_come_from_values(chart: Chart) -> None:
    values = {
        "errorPercent": 3.5, "p95Seconds": 7, "pendingRequests": 99, "canaryErrorPercent": 0.5, "canaryP95Percent": 50,
        "forMinutes": 11,
    }  # fmt: skip
    rules = chart.render("canary", prometheusRule=values).one("PrometheusRule")["spec"]["groups"][0]["rules"]
    expected = ("> 3.5", "> 7", "> 99 and", "> on () 0.5 + (", "> on () 1.5 * ")
    for rule, comparison in zip(rules, expected, strict=True):
        assert comparison in rule["expr"]
        assert rule["for"] == "11m"


def test_monitor_labels_come_from_values(everything: Manifests) -> None:
    for kind in ("PodMonitor", "PrometheusRule"):
        assert everything.one(kind)["metadata"]["labels"]["release"] == "prometheus"
    dashboard = everything.one("ConfigMap", "counting-dashboard")["metadata"]
    assert dashboard["labels"]["grafana_dashboard"] == "1"
    assert dashboard["annotations"] == {"grafana_folder": "Vision"}


def test_panels_do_not_overlap() -> None:
    panels = json.loads((CHART / "files" / "dashboard.json").read_text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)
