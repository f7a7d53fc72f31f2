"""The number of replicas, and how they are replaced."""

from typing import Any

import pytest

from crowdserve.cards import ENSEMBLES
from tests.support.rendering import Chart

Values = dict[str, Any]

CLASS = "serving.kserve.io/autoscalerClass"


def test_replicas_are_fixed_without_autoscaling(chart: Chart) -> None:
    service = chart.render(replicas=3).one("InferenceService")
    assert service["metadata"]["annotations"][CLASS] == "none"
    assert (service["spec"]["predictor"]["minReplicas"], service["spec"]["predictor"]["maxReplicas"]) == (3, 3)


SURGE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
RECREATE = {"type": "Recreate"}
ONE_AFTER_THE_OTHER = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
STANDALONE = {"transformer": {"mode": "standalone"}}
KEDA = {"podMonitor": {"enabled": True}, "autoscaling": {"keda": {"enabled": True}}}
STRATEGIES = (
    ("a GPU may not be spare", {}, RECREATE),
    ("of two GPUs one serves", {"replicas": 2}, ONE_AFTER_THE_OTHER),
    ("without a GPU there is room", {"device": "cpu"}, SURGE),
    ("chosen: a spare GPU", {"updateStrategy": "surge"}, SURGE),
    ("chosen: no room", {"device": "cpu", "updateStrategy": "replace"}, RECREATE),
    ("KEDA may have one replica", KEDA, RECREATE),
    ("KEDA has two", {**KEDA, "autoscaling": {"minReplicas": 2, "keda": {"enabled": True}}}, ONE_AFTER_THE_OTHER),
    ("HPA may have one", {"autoscaling": {"hpa": {"enabled": True}}}, RECREATE),
)


@pytest.mark.parametrize(
    ("values", "expected"), [each[1:] for each in STRATEGIES], ids=[each[0] for each in STRATEGIES]
)
def test_update_pauses_only_where_no_gpu_is_spare(chart: Chart, values: Values, expected: Values) -> None:
    """Never may all pods be missing from a Deployment that counts as available, and so from a ready service."""
    for mode in ({}, STANDALONE):
        spec = chart.render(**values, **mode).one("InferenceService")["spec"]
        assert spec["predictor"]["deploymentStrategy"] == expected
        if mode:
            assert spec["transformer"]["deploymentStrategy"] == SURGE


def test_canary_is_replaced_by_its_own_number_of_replicas(chart: Chart) -> None:
    manifests = chart.render("canary", replicas=2, canary={"replicas": 1})
    strategies = [
        manifests.one("InferenceService", name)["spec"]["predictor"]["deploymentStrategy"]
        for name in ("rel", "rel-canary")
    ]
    assert strategies == [ONE_AFTER_THE_OTHER, RECREATE]


def test_keda_scales_by_requests_waiting_per_replica(chart: Chart) -> None:
    manifests = chart.render("keda")
    assert manifests.one("InferenceService")["metadata"]["annotations"][CLASS] == "external"
    scaler = manifests.one("ScaledObject", "rel-predictor")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "rel-predictor"}
    assert (scaler["minReplicaCount"], scaler["maxReplicaCount"], scaler["pollingInterval"]) == (2, 8, 15)
    assert scaler["fallback"] == {"failureThreshold": 4, "replicas": 1, "behavior": "currentReplicasIfHigher"}
    assert (
        scaler["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"]
        == 300
    )
    own = 'namespace="ns",release="rel",track="stable"'
    in_flight, pending = scaler["triggers"]
    for trigger, threshold in ((in_flight, "4"), (pending, "2")):
        assert (trigger["type"], trigger["metricType"]) == ("prometheus", "AverageValue")
        assert trigger["metadata"]["threshold"] == threshold
        assert trigger["metadata"]["ignoreNullValues"] == "false"
        assert trigger["metadata"]["authModes"] == "tls,basic"
        assert trigger["metadata"]["customHeaders"] == "X-Client-Id=crowdserve,X-Scope-OrgID=vision"
        assert trigger["authenticationRef"] == {"name": "prometheus", "kind": "ClusterTriggerAuthentication"}
    assert in_flight["metadata"]["query"] == f"sum(crowdserve_requests_in_flight{{{own}}})"
    ensembles = "|".join(ensemble.name for ensemble in ENSEMBLES.values())
    assert pending["metadata"]["query"] == f'sum(nv_inference_pending_request_count{{{own},model!~"{ensembles}"}})'


def test_standalone_components_scale_by_their_own_queues(chart: Chart) -> None:
    manifests = chart.render("everything")
    assert len(manifests.all("ScaledObject")) == 4
    for track, name in (("stable", "counting"), ("canary", "counting-canary")):
        for part, metric in (("predictor", "nv_inference_pending"), ("transformer", "crowdserve_requests_in_flight")):
            (trigger,) = manifests.one("ScaledObject", f"{name}-{part}")["spec"]["triggers"]
            assert trigger["metadata"]["query"].startswith(f"sum({metric}")
            assert f'track="{track}"' in trigger["metadata"]["query"]


def test_trigger_is_optional(chart: Chart) -> None:
    scaler = chart.render("keda", autoscaling={"keda": {"pendingPerReplica": 0, "inFlightPerReplica": 2.5}})
    (trigger,) = scaler.one("ScaledObject")["spec"]["triggers"]
    assert trigger["metadata"]["threshold"] == "2.5"


AUTHENTICATION: list[tuple[Values, Values]] = [
    ({"authModes": ["bearer"], "authenticationRef": {"name": "a"}}, {"authModes": "bearer"}),
    ({"authModes": ["custom", "tls"], "authenticationRef": {"name": "a"}}, {"authModes": "custom,tls"}),
    ({"authenticationRef": {"name": "a", "kind": "ClusterTriggerAuthentication"}}, {}),  # the identity of a cloud
    ({"customHeaders": {"X-Scope-OrgID": "a|b"}}, {"customHeaders": "X-Scope-OrgID=a|b"}),
    ({"queryParameters": {"dedup": "true", "max": "1"}}, {"queryParameters": "dedup=true,max=1"}),
    ({"namespace": "counting"}, {"namespace": "counting"}),
    ({"unsafeSsl": True}, {"unsafeSsl": "true"}),
    (
        {"awsRegion": "eu-central-1", "metadata": {"identityOwner": "operator"}},
        {"awsRegion": "eu-central-1", "identityOwner": "operator"},
    ),
    ({"metadata": {"timeout": "3000", "cloud": "it's: text"}}, {"timeout": "3000", "cloud": "it's: text"}),
]


@pytest.mark.parametrize(("keda", "expected"), AUTHENTICATION)
def test_keda_authenticates_at_prometheus(chart: Chart, keda: Values, expected: Values) -> None:
    manifests = chart.render(podMonitor={"enabled": True}, autoscaling={"keda": {"enabled": True, **keda}})
    for trigger in manifests.one("ScaledObject")["spec"]["triggers"]:
        own = {"serverAddress", "query", "threshold", "ignoreNullValues"}
        assert {name: text for name, text in trigger["metadata"].items() if name not in own} == expected
        reference = {"kind": "TriggerAuthentication", **keda.get("authenticationRef", {})}
        assert trigger.get("authenticationRef", {"kind": "TriggerAuthentication"}) == reference


def test_hpa_is_left_to_kserve(chart: Chart) -> None:
    service = chart.render("standalone").one("InferenceService")
    assert service["metadata"]["annotations"][CLASS] == "hpa"
    for component in ("predictor", "transformer"):
        part = service["spec"][component]
        assert (part["scaleMetric"], part["scaleTarget"], part["minReplicas"], part["maxReplicas"]) == ("cpu", 70, 1, 4)


@pytest.mark.parametrize(("limit", "expected"), [(16, 16), (0, None)])
def test_knative_scales_on_concurrency_to_zero(chart: Chart, limit: int, expected: int | None) -> None:
    service = chart.render("knative", autoscaling={"concurrency": {"limit": limit}}).one("InferenceService")
    predictor = service["spec"]["predictor"]
    assert (predictor["scaleMetric"], predictor["scaleTarget"], predictor["minReplicas"]) == ("concurrency", 4, 0)
    assert predictor.get("containerConcurrency") == expected
    assert CLASS not in service["metadata"]["annotations"]
    assert "deploymentStrategy" not in predictor  # KServe ignores it here


def test_disruption_budget_covers_each_component(chart: Chart) -> None:
    manifests = chart.render("everything")
    budgets = {each["metadata"]["name"]: each["spec"] for each in manifests.all("PodDisruptionBudget")}
    names = ("counting", "counting-canary")
    assert budgets.keys() == {f"{name}-{part}" for name in names for part in ("predictor", "transformer")}
    for name, budget in budgets.items():
        assert budget["maxUnavailable"] == 1
        assert budget["selector"]["matchLabels"]["component"] == name.rpartition("-")[2]
    assert not chart.render(podDisruptionBudget={"enabled": False}).all("PodDisruptionBudget")
