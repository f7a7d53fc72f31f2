"""Scaling under load: by KEDA, by hand with a standalone transformer, and from one autoscaler to another."""

import pytest

from tests.cluster.conftest import Factory
from tests.cluster.kube import until
from tests.cluster.load import TABLE
from tests.cluster.release import Release
from tests.cluster.settings import ClusterSettings

KEDA = {"autoscaling": {"keda": {"enabled": True}, "hpa": {"enabled": False}}}
HPA = {"autoscaling": {"keda": {"enabled": False}, "hpa": {"enabled": True}}}
NEITHER = {"autoscaling": {"keda": {"enabled": False}, "hpa": {"enabled": False}}}


@pytest.fixture(scope="module")
def release(shared: Factory, keda: None, prometheus: str) -> Release:
    """A release that KEDA scales between one replica and three."""
    made = shared()
    made.install(KEDA)
    made.wait_ready()
    made.await_answers()
    return made


@pytest.fixture(autouse=True)
def named(request: pytest.FixtureRequest) -> None:
    """The table names the test."""
    if "release" in request.fixturenames:
        request.getfixturevalue("release").test = request.node.name


def test_keda_scales_up_and_an_update_keeps_the_replicas(release: Release) -> None:
    """Twelve clients are three replicas' worth."""
    with release.load("REST, 12 clients", clients=12) as rest:
        until(lambda: release.replicas() == 3, "KEDA asks for three", 120)
        release.await_pods(3)
        release.upgrade({"pod": {"annotations": {"example.com/change": "1"}}})
        release.settle(seconds=240)
        assert release.replicas() == 3
        release.await_pods(3)
    assert rest.result.lost == []


def test_replicas_stay_while_prometheus_is_away(release: Release, settings: ClusterSettings) -> None:
    """There is no load: with Prometheus, KEDA would go down to one replica within 20 s."""
    assert release.replicas() == 3
    with settings.stopped("prometheus"):
        until(lambda: _fallback(release), "KEDA falls back", 90)
        assert release.replicas() == 3


def _fallback(release: Release) -> bool:
    found = release.namespace.get("scaledobject", f"{release.name}-predictor") or {}
    return any(
        each["type"] == "Fallback" and each["status"] == "True"
        for each in found.get("status", {}).get("conditions", [])
    )


def test_keda_scales_down_without_loss(release: Release) -> None:
    assert release.replicas() > 1
    with release.load("REST, one client", clients=1, pause=0.5) as rest:
        until(lambda: release.replicas() == 1, "KEDA asks for one", 180)
        until(lambda: len(release.pods()) == 1, "the others went", 90)
    assert rest.result.lost == []


def test_change_of_the_autoscaler_loses_nothing(release: Release, metrics_server: None) -> None:
    """KServe writes the kind of scaling on the pods, so each change replaces them."""
    with release.load("REST") as rest:
        for values, kept in ((HPA, ["horizontalpodautoscalers"]), (NEITHER, [])):
            release.upgrade(values)
            release.settle()
            found = [kind for kind in ("scaledobjects", "horizontalpodautoscalers") if release.namespace.all(kind)]
            assert found == kept
    assert rest.result.lost == []
    release.namespace.helm("uninstall", release.name, "--wait")


@pytest.fixture(scope="module")
def standalone(shared: Factory) -> Release:
    """A release whose transformer has pods of its own; Triton's pods are few and have no autoscaler."""
    made = shared()
    made.install({"transformer": {"mode": "standalone"}})
    made.wait_ready()
    assert made.count("transformer") > 0
    made.await_answers()
    return made


def test_standalone_upgrade_replaces_both_without_loss(standalone: Release, request: pytest.FixtureRequest) -> None:
    """New models are in both Deployments; without a GPU both surge."""
    standalone.test = request.node.name
    with standalone.load("REST") as rest:
        change = {"example.com/change": "1"}
        standalone.upgrade({"pod": {"annotations": change}, "transformer": {"pod": {"annotations": change}}})
        standalone.settle("transformer")
        standalone.settle()
    assert rest.result.lost == []


def test_every_triton_of_three_gets_its_share(standalone: Release, request: pytest.FixtureRequest) -> None:
    """The transformer is not restarted: what it sends goes to the pods that have become ready meanwhile."""
    standalone.test = request.node.name
    with standalone.load("REST, one to three") as rest:
        standalone.upgrade({"replicas": 3})
        tritons = standalone.await_pods(3)
    assert rest.result.lost == []
    pattern = r'nv_inference_request_success{.*model="csrnet_[ab]".*}'
    before = {pod: standalone.metric(pod, pattern, 8002) for pod in tritons}
    result = standalone.send("REST, 150 on three", 150, clients=6)
    assert result.lost == []
    shares = sorted(standalone.metric(pod, pattern, 8002) - before[pod] for pod in tritons)
    assert sum(shares) == 150
    TABLE[-1].what += f": {', '.join(f'{share:.0f}' for share in shares)}"
    assert 0.25 * 150 <= shares[0] <= shares[-1] <= 0.42 * 150, shares


def test_standalone_triton_goes_without_loss(standalone: Release, request: pytest.FixtureRequest) -> None:
    """Orderly, and by force: what was refused or cut off goes to another Triton."""
    standalone.test = request.node.name
    standalone.await_pods(3)
    with standalone.load("REST, Triton deleted") as deleted:
        standalone.namespace.kubectl("delete", "pod", standalone.pod_names()[0], "--wait=true", seconds=90)
    with standalone.load("REST, Triton deleted by force") as forced:
        standalone.namespace.kubectl("delete", "pod", standalone.pod_names()[0], "--force", "--grace-period=0")
        standalone.await_pods(3)
    assert deleted.result.lost == forced.result.lost == []
