"""The restricted Pod Security Standard on every pod, and further hardening."""

import copy
from collections.abc import Iterator

import pytest

from tests.support.rendering import CI, Chart, Manifests, Object

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


def test_no_pod_but_a_watcher_gets_a_token_of_the_api_server(chart: Chart) -> None:
    for base in ("everything", "tensorrt-job"):
        for name, pod in chart.render(base).pod_specs():
            assert pod["automountServiceAccountToken"] is False, name
    assert chart.render().one("ServiceAccount")["automountServiceAccountToken"] is False
    watched = chart.render("watcher")
    assert {name: pod["automountServiceAccountToken"] for name, pod in watched.pod_specs()} == {
        "rel-predictor": False, "rel-watcher": True, "rel-test-rest": False, "rel-test-grpc": False,
    }  # fmt: skip
    (rule,) = watched.one("Role")["rules"]
    assert (rule["resources"], sorted(rule["verbs"])) == (["leases"], ["create", "get", "list", "update"])


@pytest.mark.parametrize("base", CI)
def test_root_file_systems_are_read_only(chart: Chart, base: str) -> None:
    for name, pod in chart.render(base).pod_specs():
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            downloads = base == "standalone" and container["name"] == "kserve-container"  # from hf://
            assert container["securityContext"].get("readOnlyRootFilesystem", False) is not downloads, name


@pytest.mark.parametrize(
    ("uri", "read_only"),
    [
        ("s3://b/c", True), ("gs://b/c", True), ("https://h/b.tar", True), ("pvc://claim/1", True),
        ("oci://r/b:1", True), ("oci+native://r/b:1", True), ("hf://o/m:1", False), ("oci+fetch://r/b:1", False),
    ],
)  # fmt: skip
def test_download_may_write_outside_its_volume_where_it_has_to(chart: Chart, uri: str, read_only: bool) -> None:
    """KServe copies the security context of the containers that get the models to the download."""
    for mode in ("collocated", "standalone"):
        manifests = chart.render(storage={"uri": uri}, transformer={"mode": mode})
        copied = [manifests.triton(), *([manifests.transformer()] if mode == "standalone" else [])]
        for container in copied:
            assert container["securityContext"].get("readOnlyRootFilesystem", False) is read_only
        if mode == "collocated":
            assert manifests.transformer()["securityContext"]["readOnlyRootFilesystem"] is True


def test_value_decides_on_read_only_root_file_systems(chart: Chart) -> None:
    for chosen in (True, False):
        manifests = chart.render("standalone", containerSecurityContext={"readOnlyRootFilesystem": chosen})
        for _, pod in manifests.pod_specs():
            assert [each["securityContext"]["readOnlyRootFilesystem"] for each in pod["containers"]] == [chosen]


@pytest.mark.parametrize("base", CI)
def test_disk_of_every_pod_is_limited(chart: Chart, base: str) -> None:
    for name, pod in chart.render(base).pod_specs():
        limits = 0
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            assert "ephemeral-storage" in container["resources"]["requests"], name
            limits += quantity(container["resources"]["limits"]["ephemeral-storage"])
        volumes = [volume["emptyDir"] for volume in pod.get("volumes", []) if "emptyDir" in volume]
        assert all("sizeLimit" in volume for volume in volumes), name
        on_disk = sum(quantity(volume["sizeLimit"]) for volume in volumes if volume.get("medium") != "Memory")
        assert on_disk < limits, name  # the kubelet counts volumes with the containers


def quantity(text: str) -> int:
    units = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
    return int(text[:-2]) * units[text[-2:]]


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


def test_where_the_cluster_assigns_users_it_assigns_the_group_of_volumes(chart: Chart) -> None:
    """OpenShift's restricted-v2 refuses a pod with a group of its own."""
    users = {"runAsUser": None, "runAsGroup": None}
    for base in ("everything", "tensorrt-job"):
        for name, pod in chart.render(base, podSecurityContext=users, containerSecurityContext=users).pod_specs():
            assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}, name
            for container in (*pod.get("initContainers", []), *pod["containers"]):
                assert not {"runAsUser", "runAsGroup"} & container["securityContext"].keys(), name
    assert chart.render().one("Pod", "rel-test-rest")["spec"]["securityContext"]["fsGroup"] == 1000


def reached(chart: Chart, base: str = "everything", **values: object) -> dict[int, list[Object] | None]:
    """The peers that reach each port; None for everyone."""
    policy = chart.render(base, **values).one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    found: dict[int, list[Object] | None] = {}
    for rule in policy["ingress"]:
        for port in rule["ports"]:
            before = found.get(port["port"], [])
            found[port["port"]] = None if before is None or "from" not in rule else [*before, *rule["from"]]
    return found


OWN = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "crowdserve", "app.kubernetes.io/instance": "rel"}}}
GATEWAYS, MONITORING = (
    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in ("gateways", "monitoring")
)


def test_only_the_listed_peers_reach_the_pods(chart: Chart) -> None:
    callers = {8080: [OWN, GATEWAYS], 8081: [OWN, GATEWAYS], 8082: [MONITORING], 8002: [MONITORING]}
    assert reached(chart, "default") == callers
    logged = {9081: callers[8080]}  # the agent's port takes the place of the transformer's
    assert reached(chart) == callers | logged | {8085: [OWN]}
    policy = chart.render("everything").one("NetworkPolicy")["spec"]
    assert policy["podSelector"] == OWN["podSelector"]


def test_policy_that_is_open_to_all_keeps_triton_closed(chart: Chart) -> None:
    open_to_all = {"networkPolicy": {"openToAll": True, "clients": [], "monitoring": []}}
    everyone = dict.fromkeys((8080, 8081, 8082, 8002))
    assert reached(chart, "default", **open_to_all) == everyone
    assert reached(chart, **open_to_all) == everyone | {9081: None, 8085: [OWN]}


def test_policy_is_there_unless_it_is_switched_off(chart: Chart) -> None:
    for base in (name for name in CI if not name.startswith("knative")):
        assert chart.render(base).all("NetworkPolicy"), base
    assert not chart.render(networkPolicy={"enabled": False}).all("NetworkPolicy")


def test_metrics_have_a_port_that_no_caller_reaches(chart: Chart) -> None:
    monitored = chart.render("everything").one("PodMonitor")["spec"]["podMetricsEndpoints"]
    ports = {p["name"]: p["containerPort"] for p in chart.render("everything").transformer("counting")["ports"]}
    assert ports[monitored[0]["port"]] == 8082
    route = chart.render("everything").one("HTTPRoute")["spec"]
    assert {match["path"]["value"] for rule in route["rules"] for match in rule["matches"]} == {
        "/v1",
        "/v2",
        "/openapi.json",
        "/docs",
    }


def test_kserve_ingress_is_off_by_default(chart: Chart) -> None:
    """KServe's HTTPRoute would have the same name as the chart's and bypass the canary's split."""
    label = "networking.kserve.io/visibility"
    assert chart.render().one("InferenceService")["metadata"]["labels"][label] == "cluster-local"
    assert label not in chart.render(kserveIngress={"enabled": True}).one("InferenceService")["metadata"]["labels"]
