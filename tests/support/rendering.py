"""The objects that helm renders from the chart, and their pods."""

import functools
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

CHART = ROOT / "charts" / "crowdserve"
CI = tuple(sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir()))

Object = dict[str, Any]


class Manifests(list[Object]):
    """Rendered objects."""

    def all(self, kind: str) -> list[Object]:
        """Every object of a kind."""
        return [found for found in self if found["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Object:
        """The only object of a kind, or of a kind with a name."""
        found = [each for each in self.all(kind) if name in (None, each["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} objects are {kind} {name or ''}"
        return found[0]

    def triton(self, name: str = "rel") -> Object:
        """Triton's container as KServe runs it: that of the runtime, with what the InferenceService's model adds."""
        (container,) = self.one("ServingRuntime", name)["spec"]["containers"]
        model = self.one("InferenceService", name)["spec"]["predictor"]["model"]
        env = [*container.get("env", []), *model.get("env", [])]
        return container | {"resources": model["resources"], "env": env}

    def transformer(self, name: str = "rel") -> Object:
        """The transformer's container in either pod."""
        spec = self.one("InferenceService", name)["spec"]
        (container,) = spec.get("transformer", spec["predictor"])["containers"]
        return container

    def pod_specs(self) -> Iterator[tuple[str, Object]]:
        """Every pod of the objects, including those that KServe creates."""
        for service in self.all("InferenceService"):
            name = service["metadata"]["name"]
            predictor = service["spec"]["predictor"]
            runtime = self.one("ServingRuntime", predictor["model"]["runtime"])["spec"]
            yield (
                f"{name}-predictor",
                {
                    **predictor,
                    "containers": [self.triton(name), *predictor.get("containers", [])],
                    "volumes": [*runtime["volumes"], *predictor.get("volumes", [])],
                },
            )
            if "transformer" in service["spec"]:
                yield f"{name}-transformer", service["spec"]["transformer"]
        for owner in (*self.all("Job"), *self.all("Deployment"), *self.all("StatefulSet")):
            yield owner["metadata"]["name"], owner["spec"]["template"]["spec"]
        for pod in self.all("Pod"):
            yield pod["metadata"]["name"], pod["spec"]


@dataclass(frozen=True)
class Chart:
    """The chart and the helm that renders it."""

    helm: Path

    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run helm in the chart's folder; it ends before collecting its garbage would pay."""
        return subprocess.run(
            [self.helm, *arguments],
            cwd=CHART,
            env={**os.environ, "GOGC": "off", "GOMEMLIMIT": "512MiB"},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def render(self, base: str = "default", *, release: str = "rel", **values: Any) -> Manifests:
        """Render the values of `ci/<base>-values.yaml` with others on top."""
        return _rendered(self, base, release, json.dumps(values))

    def refusal(self, base: str = "default", *, release: str = "rel", **values: Any) -> str:
        """The error message of helm."""
        done = self._template(base, release, json.dumps(values))
        assert done.returncode != 0, "helm rendered what it should refuse"
        return done.stderr

    def _template(self, base: str, release: str, values: str) -> subprocess.CompletedProcess[str]:
        options = ("--namespace", "ns", "--values", f"ci/{base}-values.yaml", "--values", "-")
        return self.run("template", release, ".", *options, text=values)


@functools.cache
def _rendered(chart: Chart, base: str, release: str, values: str) -> Manifests:
    done = chart._template(base, release, values)
    assert done.returncode == 0, done.stderr
    return Manifests(each for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each)
