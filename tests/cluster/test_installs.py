"""Every way to install: Ready comes when the first count is possible, and not before."""

import json
import re

import pytest
import yaml

from tests.cluster.bundles import Bundles
from tests.cluster.claims import offer_volume
from tests.cluster.conftest import KEDA, METRICS_SERVER, Factory, has
from tests.cluster.kube import Namespace, run, until
from tests.cluster.release import CHART, Release, Values, merged
from tests.cluster.settings import ClusterSettings

NO_ROUTE = {"route": {"enabled": False, "grpc": {"enabled": False}}}
CASES: dict[str, Values] = {
    "surge": {},
    "replace, one replica": {"updateStrategy": "replace"},
    "replace, two replicas": {"updateStrategy": "replace", "replicas": 2},
    "replace, standalone": {"updateStrategy": "replace", "transformer": {"mode": "standalone"}},
    "hpa, kserveIngress": {"autoscaling": {"hpa": {"enabled": True}}, "kserveIngress": {"enabled": True}},
    "keda": {"autoscaling": {"keda": {"enabled": True}}},
}


@pytest.fixture(scope="module")
def installed(shared: Factory) -> dict[str, Release]:
    """All of them at once: each waits for its download and its models."""
    lacking = [name for name, kind in (("keda", KEDA), ("hpa", METRICS_SERVER)) if not has(kind)]
    made = {case: shared() for case in CASES if not any(name in case for name in lacking)}
    for case, release in made.items():
        release.install(CASES[case] if case == "surge" else {**NO_ROUTE, **CASES[case]})
    return made


@pytest.mark.parametrize("case", CASES)
def test_ready_means_that_the_first_count_is_possible(
    installed: dict[str, Release], request: pytest.FixtureRequest, case: str
) -> None:
    """Under the restricted standard, with the bundle in S3 and KServe's Secret."""
    if case not in installed:
        pytest.skip("the cluster has no KEDA or no metrics-server")
    release = installed[case]
    release.test = request.node.name
    release.wait_ready()
    component = "transformer" if "standalone" in case else "predictor"
    assert release.count(component) > 0
    assert release.inputs("http" if "standalone" in case else "memory", component) > 0
    if case == "surge":
        _outside_and_test_pods(release)
    elif "hpa" in case or "keda" in case:
        assert release.namespace.all("horizontalpodautoscalers")
    release.namespace.helm("uninstall", release.name, "--ignore-not-found")


def _outside_and_test_pods(release: Release) -> None:
    """REST and gRPC through the gateway, and `helm test` with its logs."""
    release.await_answers()
    for protocol in ("rest", "grpc"):
        assert not release.send(f"{protocol} through the gateway", 4, protocol).lost
    shown = release.namespace.helm("test", release.name, "--logs").stdout
    assert {"REST", "gRPC"} <= set(re.findall("(REST|gRPC): ", shown)), shown
    release.namespace.helm("uninstall", release.name, "--wait")
    until(lambda: not release.pods(), "the pods went")
    left = release.namespace.kubectl(
        "get", "all,inferenceservices,servingruntimes,configmaps,httproutes,grpcroutes", "--output", "name",
        "--selector", f"app.kubernetes.io/instance={release.name}", check=False,
    ).stdout.split()  # fmt: skip
    assert sorted(left) == [f"pod/{release.name}-test-grpc", f"pod/{release.name}-test-rest"], "docs/how-to/upgrade.md"


def test_bundle_on_a_claim(make_release: Factory, settings: ClusterSettings, bundles: Bundles) -> None:
    release = make_release()
    _fill_claim(release.namespace, settings, bundles)
    release.install(
        {"storage": {"uri": "", "secretName": "", "existingClaim": {"name": "models", "path": "crowdserve/1"}}}
    )
    release.wait_ready()
    assert release.count() > 0


def _fill_claim(namespace: Namespace, settings: ClusterSettings, bundles: Bundles) -> None:
    """Make a claim and put the bundle on it, through a pod that mounts it."""
    claim: dict[str, object] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    if offer_volume(namespace, settings, "models"):
        claim["storageClassName"] = ""
    namespace.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": claim}
    )
    namespace.apply(_claim_pod(settings))
    namespace.kubectl("wait", "--for=condition=Ready", "pod/fill", "--timeout=90s")
    unpack = "import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|').extractall('/claim/crowdserve/1')"
    command = f'kubectl --namespace {namespace.name} exec -i fill -- python -c "{unpack}" < {bundles.tar()}'
    run("bash", "-c", command)
    namespace.kubectl("delete", "pod", "fill", "--grace-period=1")


def _claim_pod(settings: ClusterSettings) -> dict[str, object]:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "fill",
        "image": settings.transformer_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", "import time; time.sleep(600)"],
        "securityContext": security,
        "volumeMounts": [{"name": "claim", "mountPath": "/claim"}],
    }
    spec = {
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": "models"}}],
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fill"}, "spec": spec}


def test_bundle_in_an_image(make_release: Factory, settings: ClusterSettings, bundles: Bundles) -> None:
    """KServe's sidecar for oci:// needs a shell in the base image and does not satisfy the restricted standard."""
    if not settings.oci_registry:
        pytest.skip("no image registry for the tests and the nodes: set CROWDSERVE_CLUSTER_OCI_REGISTRY")
    address = bundles.push_image("1")
    release = make_release(restricted=False)
    release.install({"storage": {"uri": address, "secretName": ""}})
    release.wait_ready()
    assert release.count() > 0


CI = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))


@pytest.mark.parametrize("values", CI)
def test_api_server_takes_every_rendered_object_and_adds_nothing(make_release: Factory, values: str) -> None:
    """A default that the server adds to a spec is a difference for GitOps tools, for ever."""
    release = make_release(restricted=False)
    rendered = release.namespace.helm(
        "template", "rel", CHART, "--values", CHART / "ci" / f"{values}-values.yaml", "--no-hooks"
    ).stdout
    documents = [each for each in yaml.safe_load_all(rendered) if each]
    known = [each for each in documents if _is_known(each)]
    answered = release.namespace.kubectl(
        "apply", "--dry-run=server", "--output", "json", "-f", "-",
        text=json.dumps({"apiVersion": "v1", "kind": "List", "items": known}), seconds=60,
    )  # fmt: skip
    stored = json.loads(answered.stdout)
    items = stored["items"] if stored["kind"] == "List" else [stored]
    found = {(each["kind"], each["metadata"]["name"]): each for each in items}
    differences = [
        f"{each['kind']} {each['metadata']['name']}: {line}"
        for each in known
        for part in ("spec", "data", "rules")
        if part in each
        for line in _differences(each[part], found[each["kind"], each["metadata"]["name"]].get(part), part)
    ]
    assert not differences, "\n".join(differences)


def _is_known(document: dict[str, object]) -> bool:
    """Whether the cluster has the kind: it may lack Knative or KEDA."""
    group = str(document["apiVersion"]).rpartition("/")[0]
    return group in {"", "apps", "batch", "policy"} or group in _groups()


def _groups() -> set[str]:
    return {line.partition("/")[0] for line in run("kubectl", "api-versions").stdout.split() if "/" in line}


_GIVEN_BY_THE_CLUSTER = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "status"}
"""Fields of a Service that depend on the cluster, and the status of a StatefulSet's claims."""

_POD_TEMPLATES = {"template"}
"""Of a Job, whose pods the server completes; GitOps tools know the defaults of Kubernetes' own pods."""


def _differences(wanted: object, got: object, path: str) -> list[str]:
    if path.rpartition(".")[2] in _POD_TEMPLATES:
        return []
    if isinstance(wanted, dict) and isinstance(got, dict):
        added = [
            f"{path}.{key} added: {got[key]}" for key in got if key not in wanted and key not in _GIVEN_BY_THE_CLUSTER
        ]
        return added + [line for key in wanted for line in _differences(wanted[key], got.get(key), f"{path}.{key}")]
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [
            line for i, pair in enumerate(zip(wanted, got, strict=True)) for line in _differences(*pair, f"{path}[{i}]")
        ]
    return [] if wanted == got else [f"{path} changed from {wanted} to {got}"]


def test_two_releases_share_a_namespace_with_a_quota(make_release: Factory) -> None:
    first = make_release()
    quota = {
        "hard": {
            "pods": "6",
            "requests.cpu": "2",
            "requests.memory": "8Gi",
            "limits.memory": "40Gi",
            "limits.cpu": "20",
        }
    }
    first.namespace.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "all"}, "spec": quota})
    second = make_release(inside=first.namespace, name="other")
    first.install(NO_ROUTE)
    second.install(NO_ROUTE)
    for release in (first, second):
        release.wait_ready()
        assert release.count() > 0
    first.namespace.helm("test", second.name, "--logs")
    first.namespace.helm("uninstall", first.name, "--wait")
    until(lambda: not first.pods(), "the first release's pods went")
    assert second.count() > 0


def test_values_are_merged_as_helm_does() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [2]}) == {"a": {"b": 3, "c": 2}, "d": [2]}
