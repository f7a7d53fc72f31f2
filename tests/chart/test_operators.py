"""What operators' clusters ask for: one row each, with the values that they set and what is rendered of them.

The files beside this one hold what a row cannot: rules of a network policy, a fit into quotas, a rollout under Argo CD
and Flux (test_gitops.py). What operators bring beside values is tested where it is read: folders and videos in
tests/cli/test_folders.py, private authorities in tests/test_certificates.py and tests/bundle/test_private_authority.py,
checkpoints and archives of others in tests/export/foreign.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.rendering import Chart, Manifests

Values = dict[str, Any]
KEDA = {"authModes": ["bearer"], "authenticationRef": {"name": "prometheus", "kind": "ClusterTriggerAuthentication"}}

CA = {"configMap": {"name": "authority", "key": "ca.crt"}}
CA_FILE = {"name": "CROWDSERVE_CA_FILE", "value": "/etc/authority/ca.crt"}


def triggers(manifests: Manifests) -> list[Any]:
    return [
        (trigger["metadata"].get("authModes"), trigger.get("authenticationRef"))
        for each in manifests.all("ScaledObject")
        for trigger in each["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    ]


def scrapes(manifests: Manifests) -> set[Any]:
    return {
        (endpoint.get("scheme"), endpoint.get("tlsConfig", {}).get("insecureSkipVerify"))
        for monitor in manifests.all("PodMonitor")
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
    }


def tolerations(manifests: Manifests) -> list[Any]:
    return [key.get("key") for _, pod in manifests.pod_specs() for key in pod.get("tolerations", [])]


def resources(manifests: Manifests) -> set[str]:
    """Names of everything that some container asks for or is limited to."""
    return {
        name
        for _, pod in manifests.pod_specs()
        for container in pod["containers"]
        for kind in ("requests", "limits")
        for name in container.get("resources", {}).get(kind, {})
    }


def users(manifests: Manifests) -> set[Any]:
    """Users that pods name; OpenShift chooses them itself."""
    return {pod.get("securityContext", {}).get("runAsUser") for _, pod in manifests.pod_specs()}


def authorities(manifests: Manifests) -> list[Any]:
    """Where scrapes and watchers find the certificate of a private authority."""
    scraped = [
        endpoint["tlsConfig"]["ca"]
        for monitor in manifests.all("PodMonitor")
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
    ]
    watchers = manifests.one("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    return [*scraped, *(each["value"] for each in watchers["env"] if each["name"] == "CROWDSERVE_CA_FILE")]


def time_limits(manifests: Manifests) -> tuple[set[Any], list[Any]]:
    """Time-outs of the route's rules, which some gateways ignore, and the service's own."""
    rules = manifests.one("HTTPRoute")["spec"]["rules"]
    env = manifests.transformer()["env"]
    own = [each["value"] for each in env if each["name"] == "CROWDSERVE_REQUEST_TIMEOUT_SECONDS"]
    return {rule["timeouts"]["request"] for rule in rules}, own


def rollout_fields(manifests: Manifests) -> list[Any]:
    """Fields that a controller of a repository would take back from a rollout, from KServe or from an autoscaler."""
    return [
        (each["kind"], field)
        for kind in ("HTTPRoute", "GRPCRoute", "InferenceService", "ServingRuntime")
        for each in manifests.all(kind)
        for field in ("status", "crowdserve.io/rollout", "replicas")
        if field in each or field in each["metadata"].get("annotations", {}) or field in each["spec"]
    ]


ROWS: dict[str, tuple[str, Values, Callable[[Manifests], Any], Callable[[Any], bool]]] = {
    "KEDA with an authenticated Prometheus": (
        "keda",
        {"autoscaling": {"keda": KEDA}},
        triggers,
        lambda found: bool(found) and all(found == ("bearer", KEDA["authenticationRef"]) for found in found),
    ),
    "Istio with STRICT mTLS": (
        "canary",
        {"podMonitor": {"scheme": "https", "tlsConfig": {"insecureSkipVerify": True}}},
        scrapes,
        lambda found: found == {("https", True)},
    ),
    "two families of addresses": (
        "standalone",
        {"triton": {"service": {"ipFamilyPolicy": "PreferDualStack"}}},
        lambda manifests: [each["spec"].get("ipFamilyPolicy") for each in manifests.all("Service")],
        lambda found: "PreferDualStack" in found,
    ),
    "OpenShift": ("openshift", {}, users, lambda found: found == {None}),
    "spot nodes": ("spot", {}, tolerations, bool),
    "MIG": ("mig", {}, resources, lambda found: any(name.startswith("nvidia.com/mig-") for name in found)),
    "time-slicing": ("time-slicing", {}, resources, lambda found: any("nvidia.com/gpu" in name for name in found)),
    "LimitRange": ("limitrange", {}, resources, lambda found: {"cpu", "memory"} <= found),
    "ResourceQuota": ("resourcequota", {}, resources, lambda found: {"cpu", "memory"} <= found),
    "gRPC through a gateway": (
        "canary",
        {"route": {"grpc": {"reflection": True}}},
        lambda manifests: {
            match["method"]["service"]
            for rule in manifests.one("GRPCRoute")["spec"]["rules"]
            for match in rule["matches"]
        },
        lambda found: {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} <= found,
    ),
    "Argo CD and Flux": ("canary", {}, rollout_fields, lambda found: found == []),
    "Traefik, which ignores a route's time-outs": (
        "canary",
        {"requestTimeoutSeconds": 300, "transformer": {"settings": {"requestTimeoutSeconds": 290}}},
        time_limits,
        lambda found: found == ({"300s"}, ["290"]),
    ),
    "a private certificate authority": (
        "watcher",
        {"podMonitor": {"enabled": True, "scheme": "https", "tlsConfig": {"ca": CA}}, "watcher": {"env": [CA_FILE]}},
        authorities,
        lambda found: CA in found and found[-1] == CA_FILE["value"],
    ),
    "KServe's logger": (
        "default",
        {"logger": {"enabled": True, "url": "http://logs"}},
        lambda manifests: str(manifests.one("InferenceService")["spec"]),
        lambda found: "'url': 'http://logs'" in found,
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_cluster_gets_what_it_asks_for(chart: Chart, name: str) -> None:
    base, values, of, holds = ROWS[name]
    found = of(chart.render(base, **values))
    assert holds(found), found
