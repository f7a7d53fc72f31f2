"""Every field of every object exists in the models of its API.

KServe's and Kubernetes' Python models give the fields of their kinds; kubernetes-validate checks values too, against
the schema of a Kubernetes version; pydantic models stand for KEDA and the Prometheus operator. The Gateway API has no
such package: its fields are listed here.
"""

import re
from importlib import import_module
from typing import Any

import kserve.models
import kubernetes.client
import kubernetes_validate
import pytest

from tests.support.rendering import Chart, Manifests, Object

KUBERNETES_VERSION = "1.32"  # the oldest that KServe takes
PYDANTIC = {
    "ScaledObject": "cloudcoil.models.keda.v1alpha1",
    "PodMonitor": "cloudcoil.models.prometheus_operator.v1",
    "PrometheusRule": "cloudcoil.models.prometheus_operator.v1",
}
"""Modules of their models. They take seconds to import: only the process that runs these tests shall."""

LATER_FIELDS = {".spec.fallback.behavior"}  # KEDA 2.17; its models are of 2.16
KSERVE = {"InferenceService": "V1beta1InferenceService", "ServingRuntime": "V1alpha1ServingRuntime"}

_BACKENDS = {"group", "kind", "name", "namespace", "port", "weight"}
ROUTE: Object = {
    "parentRefs": {"group", "kind", "name", "namespace", "sectionName", "port"},
    "hostnames": None,
    "rules": {
        "matches": {"path": {"type", "value"}, "headers": {"name", "value", "type"}},
        "backendRefs": _BACKENDS,
        "timeouts": {"request"},
    },
}
_METHODS = {"headers": ROUTE["rules"]["matches"]["headers"], "method": {"type", "service", "method"}}
GRPC_ROUTE = ROUTE | {"rules": {"matches": _METHODS, "backendRefs": _BACKENDS}}


def unknown_fields(value: Any, type_name: str, path: str = "") -> list[str]:
    """Paths of fields that a type of the Python clients does not have."""
    if inner := re.fullmatch(r"list\[(.*)\]", type_name):
        return [each for index, item in enumerate(value) for each in unknown_fields(item, inner[1], f"{path}[{index}]")]
    model = find_model(type_name)
    if model is None:
        return []
    assert isinstance(value, dict), f"{path} is {value!r}, not {type_name}"
    names = {field: name for name, field in model.attribute_map.items()}
    found = [f"{path}.{field}" for field in value if field not in names]
    known = [(field, item) for field, item in value.items() if field in names]
    return found + [
        each
        for field, item in known
        for each in unknown_fields(item, model.openapi_types[names[field]], f"{path}.{field}")
    ]


def find_model(type_name: str) -> Any:
    """The model of a type; None for texts, numbers and maps."""
    short = re.sub(r"^K8sIoApi[A-Za-z]+V1(?=[A-Z])", "V1", type_name)
    return getattr(kserve.models, short, None) or getattr(kubernetes.client, short, None)


def unlisted_fields(value: Any, listed: Any, path: str = "") -> list[str]:
    """Paths of fields that are not in a tree of dicts and sets."""
    items = value if isinstance(value, list) else [value]
    if listed is None:
        return []
    found = [f"{path}.{field}" for item in items for field in item if field not in listed]
    if isinstance(listed, dict):
        pairs = [(field, inner) for item in items for field, inner in item.items() if field in listed]
        found += [each for field, inner in pairs for each in unlisted_fields(inner, listed[field], f"{path}.{field}")]
    return found


def lost_fields(value: Any, kept: Any, path: str = "") -> list[str]:
    """Paths of what a pydantic model did not keep."""
    if isinstance(value, dict):
        lost = [f"{path}.{field}" for field in value if field not in kept]
        both = [field for field in value if field in kept]
        return lost + [each for field in both for each in lost_fields(value[field], kept[field], f"{path}.{field}")]
    if isinstance(value, list):
        pairs = zip(value, kept, strict=True)
        return [each for index, (a, b) in enumerate(pairs) for each in lost_fields(a, b, f"{path}[{index}]")]
    return []


def problems(found: Object) -> list[str]:
    """Problems with the fields of an object."""
    kind = found["kind"]
    if kind in KSERVE:
        return unknown_fields(found, KSERVE[kind])
    if kind in PYDANTIC:
        model = getattr(import_module(PYDANTIC[kind]), kind).model_validate(found)
        lost = lost_fields(found, model.model_dump(mode="json", by_alias=True, exclude_unset=True))
        return [field for field in lost if field not in LATER_FIELDS]
    if kind in {"HTTPRoute", "GRPCRoute"}:
        return unlisted_fields(found["spec"], ROUTE if kind == "HTTPRoute" else GRPC_ROUTE)
    kubernetes_validate.validate(found, KUBERNETES_VERSION, strict=True)
    return []


def test_objects_have_no_unknown_fields(manifests: Manifests) -> None:
    assert [problem for found in manifests for problem in problems(found)] == []


def test_unknown_field_is_detected(chart: Chart) -> None:
    """Each of the checks above detects an invalid field, so none passes vacuously."""
    spoilt = chart.render("everything")
    kinds = {each["kind"]: each for each in spoilt}
    assert {*KSERVE, *PYDANTIC, "HTTPRoute", "GRPCRoute"} <= kinds.keys()
    for kind in (*KSERVE, *PYDANTIC, "HTTPRoute", "GRPCRoute"):
        wrong = {**kinds[kind], "spec": {**kinds[kind]["spec"], "maxReplica": 1}}
        assert wrong_or_refused(wrong), kind
    with pytest.raises(kubernetes_validate.ValidationError):
        problems({**kinds["PodDisruptionBudget"], "spec": {"minReplicas": 1}})
    runtime = kinds["ServingRuntime"]["spec"]["containers"][0]
    assert unknown_fields([{**runtime, "lifecyle": {}}], "list[V1Container]") == ["[0].lifecyle"]


def wrong_or_refused(found: Object) -> bool:
    try:
        return bool(problems(found))
    except ValueError:  # pydantic's
        return True
