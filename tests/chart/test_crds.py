"""KServe's objects validated against its CustomResourceDefinitions, where these are available."""

import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.rendering import ROOT, Manifests

CRDS = Path(os.environ.get("CROWDSERVE_CRDS") or ROOT.parent / "shared" / "crds")

pytestmark = pytest.mark.skipif(
    not CRDS.is_dir(), reason=f"no CustomResourceDefinitions in {CRDS}; set CROWDSERVE_CRDS"
)


def closed(schema: Any) -> Any:
    """A CRD's schema that rejects unknown fields and accepts either a string or a number where the CRD does."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items() if name != "format"}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        inner.setdefault("additionalProperties", False)
    return inner


@pytest.fixture(scope="session")
def schemas() -> dict[tuple[str, str], Any]:
    """The closed schema of each kind and version."""
    found = {}
    for path in sorted(CRDS.rglob("*.yaml")):
        crd = yaml.load(path.read_text(), yaml.CSafeLoader)
        for version in crd["spec"]["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            key = crd["spec"]["names"]["kind"], f"{crd['spec']['group']}/{version['name']}"
            found[key] = jsonschema.Draft202012Validator(schema)
    return found


def test_every_object_is_valid_for_kserve(manifests: Manifests, schemas: dict[tuple[str, str], Any]) -> None:
    for found in (*manifests.all("InferenceService"), *manifests.all("ServingRuntime")):
        validator = schemas[found["kind"], found["apiVersion"]]
        assert [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(found)] == []


def test_invalid_value_is_detected(schemas: dict[tuple[str, str], Any]) -> None:
    service = {
        "spec": {"predictor": {"minReplicas": "one", "model": {"modelFormat": {"name": "triton"}, "runtim": "x"}}}
    }
    errors = schemas["InferenceService", "serving.kserve.io/v1beta1"].iter_errors(service)
    assert {error.json_path for error in errors} == {"$.spec.predictor.minReplicas", "$.spec.predictor.model"}
