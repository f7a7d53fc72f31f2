"""Updates and losses of pods under load: the requests that are lost are counted, and there must be none."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.cluster.conftest import Factory
from tests.cluster.kube import Done, run, until
from tests.cluster.load import PodLoad
from tests.cluster.release import Release
from tests.cluster.settings import PREFIX, ClusterSettings, shell

KILLED_IN_FLIGHT = 2
"""Clients of a load: a killed transformer loses the requests that it has, one per client at most."""


@pytest.fixture(scope="module")
def release(shared: Factory) -> Release:
    """A release with the chart's defaults for a machine without a GPU: one replica."""
    made = shared()
    made.install()
    made.wait_ready()
    made.await_answers()
    return made


@pytest.fixture(autouse=True)
def named(release: Release, request: pytest.FixtureRequest) -> Iterator[None]:
    """The table names the test."""
    release.test = request.node.name
    yield
    assert release.namespace.get("pod", "load") is None


def changed(number: int) -> dict[str, object]:
    """A value whose change replaces every pod."""
    return {"pod": {"annotations": {"example.com/change": str(number)}}}


def test_upgrade_of_one_replica(release: Release) -> None:
    """The default for device cpu surges; gRPC straight to the Service meets the same update."""
    inside = PodLoad(release, "gRPC to the Service", f"{release.name}-predictor:8081", 45)
    inside.start()
    before = release.pod_names()
    with release.load("REST") as rest, release.load("gRPC", "grpc", clients=1) as grpc:
        release.upgrade(changed(1))
        release.settle()
        assert release.is_ready()
    assert release.pod_names() != before
    direct = inside.finish()
    release.namespace.kubectl("delete", "pod", "load", "--grace-period=1")
    assert rest.result.lost == grpc.result.lost == direct.lost == []
    assert min(rest.result.requests, grpc.result.requests, direct.requests) >= 5


def test_triton_leaves_when_its_transformer_has_gone(release: Release) -> None:
    """The transformer drains for 5 s, the longest possible stop would be 35 s: a GPU would be kept that long."""
    (leaving,) = release.pod_names()
    started = time.monotonic()
    release.namespace.kubectl("delete", "pod", leaving, "--wait=true", seconds=90)
    seconds = time.monotonic() - started
    assert 5 <= seconds <= 15, seconds
    release.await_pods(1)


def test_one_replica_without_room_for_a_second_is_ready_only_when_it_serves(release: Release) -> None:
    """What an upgrade from a rolling update to the default for GPUs does: KServe changes the Deployment's strategy."""
    (old,) = release.await_pods(1)
    release.upgrade({"updateStrategy": "replace", **changed(2)})
    until(lambda: not release.is_ready(), "KServe says that it is not ready", 30, 0.1)
    assert old not in release.pod_names()
    release.wait_ready()
    assert release.count() > 0
    found = release.namespace.get("deployment", f"{release.name}-predictor")
    assert found is not None
    assert found["spec"]["strategy"]["type"] == "Recreate"


def test_update_of_two_replicas_without_room_for_a_third(release: Release) -> None:
    release.upgrade({"replicas": 2, "updateStrategy": "replace"})
    release.settle()
    release.await_pods(2)
    with release.load("REST") as rest:
        release.upgrade(changed(3))
        release.settle()
    assert rest.result.lost == []
    release.await_pods(2)


def test_pod_is_deleted(release: Release) -> None:
    with release.load("REST") as rest:
        release.namespace.kubectl("delete", "pod", release.await_pods(2)[0], "--wait=true", seconds=90)
        release.await_pods(2)
    assert rest.result.lost == []


def test_pod_is_deleted_by_force(release: Release) -> None:
    with release.load("REST") as rest:
        release.namespace.kubectl("delete", "pod", release.await_pods(2)[0], "--force", "--grace-period=0")
        release.await_pods(2)
    assert len(rest.result.lost) <= KILLED_IN_FLIGHT, rest.result.lost


def test_triton_is_killed(release: Release, settings: ClusterSettings) -> None:
    """Photos that it was computing, and those that come before it is found unready, wait until it is back."""
    pods = release.await_pods(2)
    before = {pod: restarts(release, pod) for pod in pods}
    with release.load("REST") as rest:
        settings.kill_one("tritonserver")
        until(lambda: any(restarts(release, pod) > before[pod] for pod in pods), "Triton was started again", 60)
        release.await_pods(2, seconds=60)
    assert rest.result.lost == []
    release.send("REST, afterwards", 6)  # whose first may find that memory has to be shared anew
    shared = release.inputs("memory")
    assert release.send("REST, afterwards by memory", 6).lost == []
    assert release.inputs("memory") >= shared + 6  # the scene classifier's input; the photo is too small


def restarts(release: Release, pod: str) -> int:
    """Restarts of all containers of a pod."""
    found = release.namespace.get("pod", pod)
    assert found is not None
    return sum(each["restartCount"] for each in found["status"].get("containerStatuses", []))


def test_eviction_respects_the_budget(release: Release) -> None:
    """A drained node evicts one pod at a time; the second has to wait until the first is replaced."""
    first, second = release.await_pods(2)
    with release.load("REST") as rest:
        assert evict(release, first).returncode == 0
        refused = evict(release, second)
        assert refused.returncode != 0
        assert "disruption budget" in refused.stderr, refused.stderr
        release.await_pods(2)
        until(lambda: evict(release, second).returncode == 0, "the second may go once there are two again", 30)
        release.await_pods(2)
    assert rest.result.lost == []


def evict(release: Release, pod: str) -> Done:
    """Evict a pod as `kubectl drain` does."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": release.namespace.name},
    }
    path = f"/api/v1/namespaces/{release.namespace.name}/pods/{pod}/eviction"
    return run("kubectl", "create", "--raw", path, "-f", "-", text=json.dumps(body), check=False)


def test_node_is_drained(release: Release) -> None:
    """On a cluster with a second node that takes the pods."""
    nodes = json.loads(run("kubectl", "get", "nodes", "--output", "json").stdout)["items"]
    free = [node for node in nodes if not node["spec"].get("unschedulable") and not node["spec"].get("taints")]
    if len(free) < 2:
        pytest.skip("the cluster has no second node for pods")
    first = release.await_pods(2)[0]
    found = release.namespace.get("pod", first)
    assert found is not None
    node, selector = found["spec"]["nodeName"], f"app.kubernetes.io/instance={release.name}"
    options = ["--ignore-daemonsets", "--delete-emptydir-data", f"--pod-selector={selector}", "--timeout=200s"]
    try:
        with release.load("REST") as rest:
            run("kubectl", "drain", node, *options, seconds=240)
            release.await_pods(2)
    finally:
        run("kubectl", "uncordon", node)
    assert rest.result.lost == []


def test_every_container_of_the_node_is_killed(release: Release, settings: ClusterSettings) -> None:
    if not settings.kill_containers:
        pytest.skip(f"nothing can kill the node's containers: set {PREFIX}KILL_CONTAINERS")
    before = {pod: restarts(release, pod) for pod in release.await_pods(2)}
    shell(settings.kill_containers)
    started = time.monotonic()
    until(lambda: all(restarts(release, pod) > before[pod] for pod in before), "every container was started again", 60)
    release.await_answers(60)
    assert release.count() > 0
    assert time.monotonic() - started < 60
    release.await_pods(2)
