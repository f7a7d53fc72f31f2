"""The guide for Argo CD and Flux: what it tells them to ignore is what a rollout changes, and nothing else."""

import copy
import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.docs.pages import DOCS, code
from tests.support.rendering import Chart, Object

PAGE = (DOCS / "how-to" / "gitops.md").read_text()
OBJECTS: dict[str, Object] = {each["kind"]: each for block in code(PAGE, "yaml") for each in yaml.safe_load_all(block)}
OWNED = {"HTTPRoute", "GRPCRoute", "InferenceService"}
JQ = shutil.which("jq")
needs_jq = pytest.mark.skipif(JQ is None, reason="jq is not installed")

BEFORE: dict[str, Any] = {
    "storage": {"uri": "s3://models/crowdserve/1", "digest": f"sha256:{'1' * 64}"},
    "canary": {"storageDigest": f"sha256:{'2' * 64}"},
}
DURING: dict[str, Any] = {
    "storage": {"uri": "s3://models/crowdserve/8", "digest": f"sha256:{'8' * 64}"},
    "transformer": {"image": {"tag": "8.0.0"}},
    "canary": {
        "trafficPercent": 50,
        "storageUri": "s3://models/crowdserve/9",
        "storageDigest": f"sha256:{'9' * 64}",
        "transformer": {"image": {"tag": "9.0.0"}},
    },
}


def without(found: Object, expressions: list[str]) -> Any:
    """An object as Argo CD compares it."""
    assert JQ is not None
    program = " | ".join(f"del({expression})" for expression in expressions)
    done = subprocess.run([JQ, program], input=json.dumps(found), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def ignored_by_argo() -> dict[str, list[str]]:
    return {each["kind"]: each["jqPathExpressions"] for each in OBJECTS["Application"]["spec"]["ignoreDifferences"]}


def rendered(chart: Chart, values: dict[str, Any]) -> list[Object]:
    return [copy.deepcopy(each) for each in chart.render("canary", **values) if each["kind"] in OWNED]


@needs_jq
def test_argo_cd_sees_no_difference_during_a_rollout(chart: Chart) -> None:
    before, during = rendered(chart, BEFORE), rendered(chart, DURING)
    assert {each["kind"] for each in before} == OWNED
    for one, other in zip(before, during, strict=True):
        assert one != other, one["kind"]
        expressions = ignored_by_argo()[one["kind"]]
        assert without(one, expressions) == without(other, expressions)


def test_argo_cd_applies_what_a_rollout_does_not_own() -> None:
    """With RespectIgnoreDifferences it keeps whole lists that hold an ignored field: containers, rules of routes."""
    options = OBJECTS["Application"]["spec"]["syncPolicy"]["syncOptions"]
    assert "RespectIgnoreDifferences=true" not in options
    assert "ApplyOutOfSyncOnly=true" in options  # else a commit elsewhere undoes a rollout


@needs_jq
@pytest.mark.parametrize(
    "values",
    [
        {"route": {"hostnames": ["other.example.com"]}},
        {"replicas": 3},
        {"transformer": {"resources": {"limits": {"memory": "9Gi"}}}},
        {"transformer": {"env": [{"name": "CROWDSERVE_COUNTER", "value": "average"}]}},
    ],
    ids=str,
)
def test_argo_cd_sees_every_other_change(chart: Chart, values: dict[str, Any]) -> None:
    before, after = rendered(chart, BEFORE), rendered(chart, BEFORE | values)
    ignored = ignored_by_argo()
    assert [without(e, ignored[e["kind"]]) for e in before] != [without(e, ignored[e["kind"]]) for e in after]


def test_flux_sees_no_difference_during_a_rollout(chart: Chart) -> None:
    ignored = {
        each["target"]["kind"]: each["paths"] for each in OBJECTS["HelmRelease"]["spec"]["driftDetection"]["ignore"]
    }
    for one, other in zip(rendered(chart, BEFORE), rendered(chart, DURING), strict=True):
        for path in ignored[one["kind"]]:
            for found in (one, other):
                *parents, last = path.strip("/").split("/")
                for parent in parents:
                    found = found.get(parent, {})
                found.pop(last, None)
        assert one == other
