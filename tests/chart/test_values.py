"""Every value is described, in the schema and used; every value used exists; generated files are up to date."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import yaml

from tests.support.rendering import CHART, Chart
from tools.chart.generate import described_values, generated_files

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = {path.name: path.read_text() for path in (CHART / "templates").rglob("*.*")}

FREE = {
    "podSecurityContext", "containerSecurityContext", "triton.resources", "planBuilder.resources",
    "transformer.resources", "transformer.pod", "dashboard.labels", "planBuilder.downloader.resources",
    "tests.resources", "console.resources", "console.pod", "watcher.resources", "watcher.pod", "watcher.site",
}  # fmt: skip
"""Values whose inside is Kubernetes' or the operator's."""

Path = tuple[str, ...]


def leaves(values: Any = VALUES, path: Path = ()) -> Iterator[Path]:
    """Paths of the values that an operator sets."""
    if isinstance(values, dict) and values and ".".join(path) not in FREE:
        for name, value in values.items():
            yield from leaves(value, (*path, name))
    else:
        yield path


def at(path: Path) -> Any:
    value = VALUES
    for name in path:
        value = value[name]
    return value


def test_generated_files_are_up_to_date() -> None:
    for file, text in generated_files().items():
        assert file.read_text() == text, f"{file.name} is out of date; run: make generate"


def test_every_value_is_described_once() -> None:
    described = [value.path for value in described_values((CHART / "values.yaml").read_text())]
    assert sorted(described) == sorted(".".join(path) for path in leaves())
    assert (CHART / "values.yaml").read_text().count("# -- ") == len(described)


def test_numbers_are_described_with_their_unit() -> None:
    units = {
        "Seconds": r"seconds", "Bytes": r"bytes", "Pixels": r"pixels", "Percent": r"percent", "Minutes": r"minutes",
        "MiB": r"MiB",
    }  # fmt: skip
    for value in described_values((CHART / "values.yaml").read_text()):
        for end, unit in units.items():
            if value.path.endswith(end):
                assert re.search(unit, value.description), value.path


def schema_leaves(schema: Any, path: Path = ()) -> Iterator[Path]:
    schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if "properties" in schema and schema.get("type") == "object" and ".".join(path) not in FREE:
        assert schema["additionalProperties"] is False, path
        for name, inner in schema["properties"].items():
            yield from schema_leaves(inner, (*path, name))
    else:
        yield path


def test_schema_and_values_are_the_same_tree() -> None:
    refused = {("batcher",)}  # the schema knows it only to say why not
    assert set(schema_leaves(SCHEMA)) - {("global",)} - refused == set(leaves())


def used_paths() -> Iterator[tuple[str, Path]]:
    """Paths that templates read: `.Values.a.b`, and `$name.b` where `$name := .Values.a`."""
    for template, text in TEMPLATES.items():
        aliases = {"values": "", **dict(re.findall(r"\$(\w+) := \.Values((?:\.\w+)+) ?-?\}\}", text))}
        for path in re.findall(r"\.Values((?:\.\w+)+)", text):
            yield template, tuple(path.strip(".").split("."))
        for alias, path in re.findall(r"\$(\w+)((?:\.\w+)+)", text):
            if alias in aliases:
                yield template, tuple(f"{aliases[alias]}{path}".strip(".").split("."))


def test_every_value_that_a_template_reads_exists() -> None:
    found = list(used_paths())
    assert len({path for _, path in found}) > 50
    for template, path in found:
        value = VALUES
        for depth, name in enumerate(path):
            if ".".join(path[:depth]) in FREE:
                break
            assert isinstance(value, dict), (template, path)
            assert name in value, f"{template} reads {'.'.join(path)}, which values.yaml does not have"
            value = value[name]


# Values that decide what else is rendered: values in ci/ to begin with, and two settings that must differ.
WITHOUT_SECRET = {"storage": {"secretName": ""}}
WITHOUT_CANARY = {"canary": {"enabled": False}, "route": {"grpc": {"enabled": False}}}
WITHOUT_CANARY_RULES = {"prometheusRule": {"enabled": False}}
DIGEST = f"sha256:{'4' * 64}"
CHANGES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "console.enabled": ("console", {}, False),
    "console.image.pullPolicy": ("console", {}, "Always"),
    "console.hosts": ("console", {}, ["console.example.net"]),
    "console.image.digest": ("console", {}, DIGEST),
    "deploymentMode": ("default", {"networkPolicy": {"enabled": False}}, "Knative"),
    "device": ("default", {}, "cpu"),
    "updateStrategy": ("default", {}, "surge"),
    "transformer.mode": ("default", {}, "standalone"),
    "knative.protocol": ("knative", {}, "grpc"),
    "triton.precision": ("cpu", {}, "bf16"),
    "triton.sharedMemory.enabled": ("default", {}, False),
    "planBuilder.precision": ("tensorrt-job", {}, "fp32"),
    "planBuilder.enabled": ("tensorrt-job", {}, False),
    "planBuilder.job.enabled": ("tensorrt-job", {}, False),
    "engineCache.enabled": ("default", {}, False),
    "serviceAccount.enabled": ("s3", WITHOUT_SECRET, False),
    "autoscaling.concurrency.enabled": ("knative", {"autoscaling": {"minReplicas": 1}}, False),
    "autoscaling.hpa.enabled": ("standalone", {}, False),
    "autoscaling.keda.enabled": ("keda", {}, False),
    "kserveIngress.enabled": ("default", {}, True),
    "logger.enabled": ("default", {"logger": {"url": "http://logs"}}, True),
    "logger.mode": ("everything", {}, "response"),
    "route.enabled": ("canary", WITHOUT_CANARY, False),
    "route.grpc.enabled": ("canary", {}, False),
    "route.grpc.reflection": ("canary", {}, True),
    "canary.enabled": ("canary", WITHOUT_CANARY_RULES, False),
    "podMonitor.enabled": ("canary", {}, False),
    "podDisruptionBudget.enabled": ("default", {}, False),
    "networkPolicy.enabled": ("default", {}, False),
    "networkPolicy.openToAll": ("default", {}, True),
    "storage.digest": ("default", {}, "4" * 64),
    "canary.storageDigest": ("canary", {}, "4" * 64),
    "transformer.settings.allowPickle": ("default", {}, True),
    "triton.service.ipFamilyPolicy": ("standalone", {}, "PreferDualStack"),
    "triton.service.ipFamilies": ("standalone", {}, ["IPv6"]),
    "autoscaling.keda.unsafeSsl": ("keda", {}, True),
    "autoscaling.keda.authModes": ("keda", {}, ["bearer"]),
    "autoscaling.keda.authenticationRef.kind": ("keda", {}, "TriggerAuthentication"),
    "podMonitor.scheme": ("canary", {}, "https"),
    "transformer.settings.corsOrigins": ("default", {}, "https://pages.example"),
    "transformer.settings.forwardAuthorization": ("default", {}, True),
    "prometheusRule.enabled": ("canary", {}, False),
    "dashboard.enabled": ("default", {}, True),
    "tests.enabled": ("default", {}, False),
    "watcher.enabled": ("watcher", {}, False),
    "watcher.storage.enabled": ("watcher", {}, True),
    "watcher.storage.className": ("watcher", {"watcher": {"storage": {"enabled": True}}}, "fast"),
    "watcher.existingConfigMap": ("watcher", {"watcher": {"site": None, "existingConfigMap": "one"}}, "another"),
    "watcher.existingSecret": ("watcher", {"watcher": {"site": None, "existingSecret": "one"}}, "another"),
    "watcher.image.pullPolicy": ("watcher", {}, "Always"),
    "watcher.image.digest": ("watcher", {}, DIGEST),
    "transformer.settings.route": ("default", {}, "dense"),
    "transformer.settings.verifyBundle": ("default", {}, "off"),
    "transformer.settings.logLevel": ("default", {}, "DEBUG"),
    "triton.image.pullPolicy": ("default", {}, "Always"),
    "transformer.image.pullPolicy": ("default", {}, "Always"),
    "planBuilder.image.pullPolicy": ("tensorrt-job", {}, "Always"),
    "planBuilder.downloader.image.pullPolicy": ("tensorrt-job", {}, "Always"),
    "triton.image.digest": ("default", {}, DIGEST),
    "transformer.image.digest": ("default", {}, DIGEST),
    "planBuilder.image.digest": ("tensorrt-job", {}, DIGEST),
    "planBuilder.downloader.image.digest": ("tensorrt-job", {}, DIGEST),
    "canary.triton.image.digest": ("canary", {}, DIGEST),
    "canary.transformer.image.digest": ("canary", {}, DIGEST),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_choice_changes_the_rendered_objects(chart: Chart, name: str) -> None:
    base, given, value = CHANGES[name]
    changed = with_value(given, name.split("."), value)
    if name == "networkPolicy.openToAll":
        changed = {"networkPolicy": {"openToAll": True, "clients": [], "monitoring": []}}
    assert chart.render(base, **changed) != chart.render(base, **given)


def test_every_switch_is_rendered_on_and_off() -> None:
    assert {".".join(path) for path in leaves() if isinstance(at(path), bool)} <= CHANGES.keys()


def with_value(values: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """Values with one more in them."""
    first, *rest = path
    return {**values, first: with_value(values.get(first, {}), rest, value) if rest else value}


# What a value is set to, by the end of its path: MARK becomes a text of its own that must be rendered.
MARKED: dict[str, Any] = {
    "gpu.resource": "marks.example/MARK", "uri": "s3://MARK", "storageUri": "s3://MARK", "serverAddress": "http://MARK",
    "labels": {"a": "MARK"}, "annotations": {"a": "MARK"}, "nodeSelector": {"a": "MARK"}, "affinity": {"a": "MARK"},
    "tolerations": [{"key": "MARK"}], "topologySpreadConstraints": [{"topologyKey": "MARK"}],
    "imagePullSecrets": [{"name": "MARK"}], "parentRefs": [{"name": "MARK"}], "hostnames": ["MARK"],
    "env": [{"name": "MARK", "value": "x"}], "extraArgs": ["--MARK"], "clients": [{"a": "MARK"}],
    "monitoring": [{"a": "MARK"}], "extraObjects": [{"kind": "MARK", "metadata": {"name": "x"}}],
    "transformer.pod": {"nodeSelector": {"a": "MARK"}}, "ecurityContext": {"a": "MARK"},
    "resources": {"limits": {"example.com/MARK": 1}}, "paths": ["/MARK"], "headerValue": "0123456789abcdefMARK",
    "publicKey": "-----BEGIN PUBLIC KEY-----\nMARK\n-----END PUBLIC KEY-----",
    "triton.host": "::MARK", "customHeaders": {"a": "MARK"}, "queryParameters": {"a": "MARK"},
    "modelAliases": ["MARK"], "logger.url": "http://MARK", "metadataHeaders": ["MARK"],
    "watchers": ["MARK"], "serviceUrl": "http://MARK", "console.pod": {"nodeSelector": {"a": "MARK"}},
    "keda.metadata": {"a": "MARK"}, "tlsConfig": {"serverName": "MARK"}, "watcher.site": {"cameras": ["MARK"]},
    "watcher.pod": {"nodeSelector": {"a": "MARK"}},
}  # fmt: skip
WHERE = {  # the values in ci/ with which a value is rendered, if not "everything"
    "console": "console", "planBuilder": "tensorrt-job", "knative": "knative", "autoscaling.concurrency": "knative",
    "watcher": "watcher", "autoscaling.hpa": "standalone", "storage.existingClaim": "pvc", "replicas": "default",
    "canary.replicas": "canary",
    "triton.cpuThreads": "cpu", "engineCache.sizeLimit": "default", "triton.shmSize": "default",
    "triton.tmpSize": "default",
    "canary.transformer.image.tag": "canary", "serviceAccount": "s3", "transformer.image.tag": "default",
    "triton.image.tag": "default", "storage.uri": "default", "fullnameOverride": "default",
}  # fmt: skip
CALCULATED = {"transformer.settings.drainSeconds", "prometheusRule.canaryP95Percent", "triton.startupSeconds"}
"""Rendered as the result of a calculation; test_serving.py and test_monitoring.py check them."""


def marked(path: Path, mark: str) -> Any:
    """A value for a path that can be found in the rendered objects; None if there is none."""
    name, default = ".".join(path), at(path)
    ending = next((end for end in MARKED if name.endswith(end)), None)
    if name in CHANGES or name in CALCULATED:
        return None
    if ending is not None:
        return json.loads(json.dumps(MARKED[ending]).replace("::MARK", f"::{mark}").replace("MARK", f"m{mark}"))
    if name == "canary.trafficPercent":
        return 37
    if isinstance(default, int | float):
        return int(mark)
    return f"{mark}Mi" if name.endswith(("shmSize", "tmpSize", "sizeLimit", "storage.size")) else f"m{mark}"


@pytest.mark.parametrize("base", sorted({"everything", *WHERE.values()}))
def test_every_value_is_rendered(chart: Chart, base: str) -> None:
    values: dict[str, Any] = {}
    marks = {}
    for number, path in enumerate(leaves(), start=347):  # times three is over every least value
        name = ".".join(path)
        value = marked(path, str(number * 3))
        if value is not None and base == next(
            (b for start, b in WHERE.items() if name.startswith(start)), "everything"
        ):
            values = with_value(values, path, value)
            marks[name] = "37" if value == 37 else str(number * 3)
    if base == "everything":
        values = with_value(values, ("autoscaling", "minReplicas"), 2)  # not over the most
        marks["autoscaling.minReplicas"] = "2"
    rendered = json.dumps(chart.render(base, **values))
    assert marks
    assert [name for name, mark in marks.items() if mark not in rendered] == []
