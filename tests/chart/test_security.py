"""The restricted Pod Security Standard on every pod, and further hardening."""

import copy
from collections.abc import Iterator

import pytest

from tests.support.rendering import Chart, Manifests, Object

ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(pod: Object) -> Iterator[str]:
    """Violations of the restricted Pod Security Standard in a pod."""
    context = pod.get("securityContext", {})
    yield from (field for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field))
    for volume in pod.get("volumes", []):
        yield from (f"volume {volume['name']}: {kind}" for kind in set(volume) - {"name"} - ALLOWED_VOLUMES)
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        own = {**context, **container.get("securityContext", {})}
        name = container["name"]
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            yield f"{name}: capabilities"
        if own.get("runAsNonRoot") is not True or own.get("runAsUser") == 0:
            yield f"{name}: root"
        if own.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
            yield f"{name}: seccompProfile"
        if own.get("privileged") or own.get("procMount", "Default") != "Default":
            yield f"{name}: privileged"
        yield from (f"{name}: hostPort" for port in container.get("ports", []) if port.get("hostPort"))


def test_every_pod_satisfies_the_restricted_standard(manifests: Manifests) -> None:
    assert [(name, found) for name, pod in manifests.pod_specs() for found in violations(pod)] == []


@pytest.mark.parametrize("missing", ["allowPrivilegeEscalation", "capabilities", "runAsNonRoot", "seccompProfile"])
def test_security_check_detects_violations(chart: Chart, missing: str) -> None:
    _, pod = next(chart.render().pod_specs())
    spoilt = copy.deepcopy(pod)
    spoilt["securityContext"].pop(missing, None)
    for container in spoilt["containers"]:
        del container["securityContext"][missing]
    assert len(list(violations(spoilt))) == len(spoilt["containers"])


def test_no_pod_gets_a_token_of_the_api_server(chart: Chart) -> None:
    for base in ("everything", "tensorrt-job"):
        for name, pod in chart.render(base).pod_specs():
            assert pod["automountServiceAccountToken"] is False, name
    assert chart.render().one("ServiceAccount")["automountServiceAccountToken"] is False


def test_root_file_systems_are_read_only_where_nothing_is_downloaded(chart: Chart) -> None:
    assert chart.render().transformer()["securityContext"]["readOnlyRootFilesystem"] is True
    for pod in chart.render().all("Pod"):
        assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    for container in (chart.render().triton(), chart.render("standalone").transformer()):
        assert "readOnlyRootFilesystem" not in container["securityContext"]  # KServe copies it to the download


def test_security_contexts_can_be_omitted(chart: Chart) -> None:
    """OpenShift chooses the user of a pod and refuses pods that set one."""
    nothing = {"podSecurityContext": None, "containerSecurityContext": None}
    for base in ("everything", "tensorrt-job", "knative", "standalone"):
        for name, pod in chart.render(base, **nothing).pod_specs():
            contexts = [
                each.get("securityContext", {}) for each in (pod, *pod.get("initContainers", []), *pod["containers"])
            ]
            assert all(context in ({}, {"readOnlyRootFilesystem": True}) for context in contexts), name
    users = {"runAsUser": None, "runAsGroup": None}
    for _, pod in chart.render(podSecurityContext=users, containerSecurityContext=users).pod_specs():
        assert "runAsUser" not in pod["containers"][0]["securityContext"]
        assert pod["containers"][0]["securityContext"]["runAsNonRoot"] is True


def test_only_the_transformer_may_call_triton(chart: Chart) -> None:
    policy = chart.render("everything").one("NetworkPolicy")["spec"]
    own, clients, monitoring = policy["ingress"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["podSelector"]["matchLabels"] == own["from"][0]["podSelector"]["matchLabels"]
    assert {8085} == {p["port"] for p in own["ports"]} - {p["port"] for p in (*clients["ports"], *monitoring["ports"])}
    assert clients["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "gateways"}
    assert monitoring["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}


def test_network_policy_without_peers_opens_the_service_but_not_triton(chart: Chart) -> None:
    own, *others = chart.render(networkPolicy={"enabled": True}).one("NetworkPolicy")["spec"]["ingress"]
    assert "from" in own
    assert not any("from" in rule for rule in others)
    assert not any(port["port"] == 8085 for rule in others for port in rule["ports"])


def test_kserve_ingress_is_off_by_default(chart: Chart) -> None:
    """KServe's HTTPRoute would have the same name as the chart's and bypass the canary's split."""
    label = "networking.kserve.io/visibility"
    assert chart.render().one("InferenceService")["metadata"]["labels"][label] == "cluster-local"
    assert label not in chart.render(kserveIngress={"enabled": True}).one("InferenceService")["metadata"]["labels"]
