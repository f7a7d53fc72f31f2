"""Clusters as operators have them: one example in ci/ each, whose objects fit into what the cluster allows."""

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from kubernetes.utils.quantity import parse_quantity

from tests.support.rendering import Chart, Manifests, Object

GPU = "nvidia.com/gpu"
SPOT_NOTICE_SECONDS = 25
"""The shortest of the large clouds: Google's 30 s, 5 s of them for the system's own pods."""


def containers(manifests: Manifests) -> Iterator[Object]:
    for _, pod in manifests.pod_specs():
        yield from (*pod.get("initContainers", []), *pod["containers"])


def amount(container: Object, kind: str, resource: str) -> Decimal:
    return parse_quantity(container["resources"][kind][resource])


def check_limit_range(manifests: Manifests) -> None:
    """Every container is within the bounds that the LimitRange enforces when a pod is made."""
    (bounds,) = manifests.one("LimitRange")["spec"]["limits"]
    assert bounds["type"] == "Container"
    found = list(containers(manifests))
    assert found
    for container in found:
        for resource, least in bounds["min"].items():
            asked, limit = amount(container, "requests", resource), amount(container, "limits", resource)
            assert parse_quantity(least) <= asked <= limit <= parse_quantity(bounds["max"][resource]), container["name"]
            assert limit / asked <= Decimal(bounds["maxLimitRequestRatio"][resource]), (container["name"], resource)


def peak(manifests: Manifests) -> Counter[str]:
    """What all pods take together, at most replicas and during an update, in the names of a ResourceQuota."""
    taken: Counter[str] = Counter()
    (service,) = manifests.all("InferenceService")
    for name, pod in manifests.pod_specs():
        component = service["spec"].get(name.rpartition("-")[2], {})
        surge = component.get("deploymentStrategy", {}).get("rollingUpdate", {}).get("maxSurge", 0)
        pods = component.get("maxReplicas", 1) + surge
        taken["pods"] += pods
        for container in pod["containers"]:
            for kind, resources in container["resources"].items():
                for resource, text in resources.items():
                    taken[f"{kind}.{resource}"] += pods * parse_quantity(text)
    taken[f"requests.{GPU}"] = taken.pop(f"limits.{GPU}")  # Kubernetes sets the one from the other
    return taken


def check_resource_quota(manifests: Manifests) -> None:
    """All pods fit in; where a resource has a quota, a pod that does not name it is refused."""
    hard = manifests.one("ResourceQuota")["spec"]["hard"]
    taken = peak(manifests)
    assert hard.keys() == taken.keys()
    assert {name for name, text in hard.items() if taken[name] > parse_quantity(text)} == set()
    for container in containers(manifests):
        for name in hard:
            kind, _, resource = name.partition(".")
            if resource and resource != GPU:
                assert resource in container["resources"][kind], container["name"]


def check_spot_nodes(manifests: Manifests) -> None:
    """A node that goes takes one of two replicas with it, which has stopped by then."""
    predictor = manifests.one("InferenceService")["spec"]["predictor"]
    assert predictor["minReplicas"] >= 2
    assert predictor["terminationGracePeriodSeconds"] <= SPOT_NOTICE_SECONDS
    (spread,) = predictor["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "DoNotSchedule")
    labels = manifests.one("InferenceService")["metadata"]["labels"]  # KServe copies them to the pods
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
    (selected,) = predictor["nodeSelector"].items()
    assert selected in [(each["key"], each.get("value")) for each in predictor["tolerations"]]
    assert manifests.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def check_part_of_a_gpu(resource: str) -> Callable[[Manifests], None]:
    """Triton asks for one of a resource, and nobody for a whole GPU."""

    def check(manifests: Manifests) -> None:
        assert manifests.triton()["resources"]["limits"][resource] == "1"
        asked = {name for each in containers(manifests) for kind in each["resources"].values() for name in kind}
        assert {name for name in asked if name.startswith("nvidia.com/")} == {resource}
        tolerated = manifests.one("InferenceService")["spec"]["predictor"]["tolerations"]
        assert {"key": GPU, "operator": "Exists", "effect": "NoSchedule"} in tolerated

    return check


CLUSTERS: dict[str, Callable[[Manifests], None]] = {
    "limitrange": check_limit_range,
    "resourcequota": check_resource_quota,
    "spot": check_spot_nodes,
    "mig": check_part_of_a_gpu("nvidia.com/mig-3g.40gb"),
    "time-slicing": check_part_of_a_gpu("nvidia.com/gpu.shared"),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_example_fits_into_its_cluster(chart: Chart, name: str) -> None:
    CLUSTERS[name](chart.render(name))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("limitrange", {"triton": {"resources": {"limits": {"memory": "9Gi"}}}}),
        ("limitrange", {"transformer": {"resources": {"requests": {"cpu": "100m"}}}}),
        ("resourcequota", {"autoscaling": {"maxReplicas": 3}}),
        ("resourcequota", {"updateStrategy": "surge"}),
        ("spot", {"transformer": {"settings": {"graceSeconds": 30}}}),
        ("mig", {"gpu": {"resource": GPU}}),
        ("time-slicing", {"gpu": {"count": 2}}),
    ],
)
def test_other_values_do_not_fit(chart: Chart, name: str, values: Object) -> None:
    with pytest.raises((AssertionError, KeyError)):
        CLUSTERS[name](chart.render(name, **values))
