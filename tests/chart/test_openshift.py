"""OpenShift's restricted-v2, rule by rule, on every pod that the chart makes there."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.test_security import ALLOWED_VOLUMES
from tests.support.paths import ROOT
from tests.support.rendering import CHART, CI, Chart, Object

SECCOMP = {None, "RuntimeDefault"}
CAPABILITIES = {"NET_BIND_SERVICE"}
CONTEXTS = ("podSecurityContext", "containerSecurityContext")


def refusals(pod: Object) -> Iterator[str]:
    """What restricted-v2 refuses in a pod.

    Users, groups of volumes and SELinux levels are those of the namespace's range (MustRunAsRange, MustRunAs), which a
    pod cannot know: whoever sets one is refused. Capabilities are dropped and seccomp is set where a pod says nothing.
    """
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field
    for volume in pod.get("volumes", []):
        yield from (f"volume {volume['name']}: {kind}" for kind in set(volume) - {"name"} - ALLOWED_VOLUMES)
    context = pod.get("securityContext", {})
    yield from (f"pod: {field}" for field in ("fsGroup", "sysctls") if context.get(field) is not None)
    yield from assigned("pod", context)
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        name, own = container["name"], container.get("securityContext", {})
        yield from assigned(name, own)
        if own.get("privileged") or own.get("allowPrivilegeEscalation"):
            yield f"{name}: privileges"
        if set(own.get("capabilities", {}).get("add", [])) - CAPABILITIES:
            yield f"{name}: capabilities"
        if own.get("procMount", "Default") != "Default":
            yield f"{name}: procMount"
        yield from (f"{name}: hostPort" for port in container.get("ports", []) if port.get("hostPort"))


def assigned(name: str, context: Object) -> Iterator[str]:
    """Fields of a security context that the cluster assigns."""
    yield from (f"{name}: {field}" for field in ("runAsUser", "seLinuxOptions") if context.get(field) is not None)
    if context.get("seccompProfile", {}).get("type") not in SECCOMP:
        yield f"{name}: seccompProfile"


def openshift_contexts() -> dict[str, Any]:
    values = yaml.safe_load((CHART / "ci" / "openshift-values.yaml").read_text())
    return {name: values[name] for name in CONTEXTS}


@pytest.mark.parametrize("base", [name for name in CI if name != "openshift"])
def test_restricted_v2_accepts_every_way_to_install(chart: Chart, base: str) -> None:
    found = [
        (name, each) for name, pod in chart.render(base, **openshift_contexts()).pod_specs() for each in refusals(pod)
    ]
    assert found == []


def test_values_for_openshift_are_accepted_as_they_are(chart: Chart) -> None:
    pods = list(chart.render("openshift").pod_specs())
    assert {name for name, _ in pods} == {"rel-predictor", "rel-test-rest", "rel-test-grpc"}
    assert [(name, each) for name, pod in pods for each in refusals(pod)] == []


def test_values_of_the_guide_are_those_of_the_example() -> None:
    page = (ROOT / "docs" / "how-to" / "clusters.md").read_text().partition("## OpenShift")[2]
    shown = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    assert {name: shown[name] for name in CONTEXTS} == openshift_contexts()


def test_user_and_group_of_the_defaults_are_refused(chart: Chart) -> None:
    _, pod = next(chart.render().pod_specs())
    found = set(refusals(pod))
    assert found == {"pod: fsGroup", "pod: runAsUser", *(f"{c['name']}: runAsUser" for c in pod["containers"])}


SPOILT: list[tuple[str, Object, Object]] = [
    ("hostNetwork", {"hostNetwork": True}, {}),
    ("hostPath", {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, {}),
    ("fsGroup", {"securityContext": {"fsGroup": 1000}}, {}),
    ("sysctls", {"securityContext": {"sysctls": [{"name": "a", "value": "b"}]}}, {}),
    ("seLinuxOptions", {"securityContext": {"seLinuxOptions": {"level": "s0"}}}, {}),
    ("seccompProfile", {}, {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
    ("runAsUser", {}, {"securityContext": {"runAsUser": 1000}}),
    ("privileges", {}, {"securityContext": {"allowPrivilegeEscalation": True}}),
    ("privileges", {}, {"securityContext": {"privileged": True}}),
    ("capabilities", {}, {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
    ("procMount", {}, {"securityContext": {"procMount": "Unmasked"}}),
    ("hostPort", {}, {"ports": [{"containerPort": 80, "hostPort": 80}]}),
]


@pytest.mark.parametrize(("rule", "pod", "container"), SPOILT)
def test_each_rule_refuses_something(chart: Chart, rule: str, pod: Object, container: Object) -> None:
    _, accepted = next(chart.render("openshift").pod_specs())
    spoilt = copy.deepcopy(accepted) | pod
    spoilt["containers"][0] |= container
    assert any(rule in each for each in refusals(spoilt))
