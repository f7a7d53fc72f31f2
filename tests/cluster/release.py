"""A release of the chart in the cluster, as an operator sees it."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster.bundles import bundle_address
from tests.cluster.kube import Done, Namespace, Object, until
from tests.cluster.load import LOAD_SCRIPT, Result, Running
from tests.cluster.settings import ClusterSettings
from tests.support.paths import ROOT

CHART = ROOT / "charts" / "crowdserve"
NAME = "crowdserve"
READY_SECONDS = 150

Values = Mapping[str, Any]


@dataclass(slots=True)
class Release:
    """A release named crowdserve, with few resources: the cluster may have two cores.

    Attributes:
        namespace: Namespace of the release.
        settings: The cluster.
        photo: A small photo.
        request: A file with a request of that photo, JSON.
        test: Name of the test that uses it.
        name: Name of the release.
        values: Values of the last install or upgrade.
    """

    namespace: Namespace
    settings: ClusterSettings
    photo: Path
    request: Path
    test: str
    name: str = NAME
    values: dict[str, Any] = field(default_factory=dict)
    _generations: dict[str, int] = field(default_factory=dict)

    # Helm

    def base_values(self) -> dict[str, Any]:
        """What the cluster asks for; everything else is the chart's default."""
        s = self.settings
        gateway_namespace, _, gateway = s.gateway.partition("/")
        triton, _, triton_tag = s.triton_image.rpartition(":")
        transformer, _, transformer_tag = s.transformer_image.rpartition(":")
        return {
            "device": "cpu",
            "storage": {"uri": self.bundle("1"), "secretName": "models-s3"},
            "triton": {
                "image": {"repository": triton, "tag": triton_tag},
                "resources": {"requests": {"cpu": "100m", "memory": "900Mi"}, "limits": {"cpu": "2", "memory": "6Gi"}},
                "cpuThreads": 1,
            },
            "transformer": {
                "image": {"repository": transformer, "tag": transformer_tag},
                "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "2Gi"}},
                "settings": {"drainSeconds": 5},
            },
            "route": {
                "enabled": True,
                "parentRefs": [{"name": gateway, "namespace": gateway_namespace}],
                "hostnames": [s.host],
                "grpc": {"enabled": True, "hostnames": [s.grpc_host]},
            },
            "networkPolicy": {"openToAll": True},  # where a cluster's gateway and Prometheus run is not known here
            "podMonitor": {"enabled": True, "intervalSeconds": 5},
            "autoscaling": {
                "maxReplicas": 3,
                "keda": {
                    "serverAddress": s.prometheus_in_cluster, "pollingIntervalSeconds": 5, "scaleDownSeconds": 20,
                },
            },
        }  # fmt: skip

    def bundle(self, version: str) -> str:
        """Address of a bundle in the store."""
        return bundle_address(self.settings, version)

    def install(self, values: Values | None = None, *flags: str) -> None:
        """Install the chart; does not wait."""
        self.values = merged(self.base_values(), values or {})
        self._helm("install", flags)

    def upgrade(self, values: Values, *flags: str) -> None:
        """Upgrade with changed values; does not wait."""
        self.values = merged(self.values, values)
        self._helm("upgrade", flags)

    def _helm(self, verb: str, flags: tuple[str, ...]) -> None:
        file = self.request.with_name(f"{self.namespace.name}-{self.name}-values.yaml")
        file.write_text(yaml.safe_dump(self.values))
        self._generations = {
            each["metadata"]["name"]: each["metadata"]["generation"] for each in self.namespace.all("deployments")
        }
        self.namespace.helm(verb, self.name, CHART, "--values", file, *flags)

    # state

    def wait_ready(self, seconds: float = READY_SECONDS, name: str | None = None) -> None:
        """Wait for KServe's Ready as docs/how-to/deploy.md says."""
        service = f"inferenceservice/{name or self.name}"
        standalone = self.values["transformer"].get("mode") == "standalone"
        for condition in ("Ready", *(["TransformerReady"] if standalone else [])):
            self.namespace.kubectl(
                "wait", f"--for=condition={condition}", service, f"--timeout={seconds:g}s", seconds=seconds + 10
            )

    def is_ready(self) -> bool:
        """Whether KServe says so now, for all that serves."""
        found = self.namespace.get("inferenceservice", self.name) or {}
        conditions = {each["type"]: each["status"] for each in found.get("status", {}).get("conditions", [])}
        return conditions.get("Ready") == "True" and conditions.get("TransformerReady", "True") == "True"

    def settle(self, component: str = "predictor", seconds: float = READY_SECONDS) -> None:
        """Wait until the last upgrade has replaced the pods of a component, old pods included.

        KServe's observedGeneration does not say so: with a standalone transformer it stays behind (KServe 0.20).
        """
        name = f"{self.name}-{component}"
        until(
            lambda: self._generation(name) > self._generations.get(name, 0), f"KServe changed the Deployment {name}", 30
        )
        self.namespace.kubectl(
            "rollout", "status", f"deployment/{name}", f"--timeout={seconds:g}s", seconds=seconds + 10
        )
        until(lambda: all("deletionTimestamp" not in pod["metadata"] for pod in self.pods(component)), "old pods went")

    def settle_pods(self) -> None:
        """Wait until no pod of the release is being stopped."""
        selector = f"app.kubernetes.io/instance={self.name},crowdserve.io/track"
        until(
            lambda: all("deletionTimestamp" not in pod["metadata"] for pod in self.namespace.all("pods", selector)),
            "old pods went",
        )

    def _generation(self, deployment: str) -> int:
        return int(
            (self.namespace.get("deployment", deployment) or {"metadata": {"generation": 0}})["metadata"]["generation"]
        )

    def pods(self, component: str = "predictor", track: str = "stable") -> list[Object]:
        """The pods of a component."""
        selector = f"app.kubernetes.io/instance={self.name},component={component},crowdserve.io/track={track}"
        return self.namespace.all("pods", selector)

    def pod_names(self, component: str = "predictor", track: str = "stable") -> list[str]:
        """The names of the pods that are ready and stay."""
        return [
            pod["metadata"]["name"]
            for pod in self.pods(component, track)
            if "deletionTimestamp" not in pod["metadata"]
            and any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))
        ]

    def await_pods(self, number: int, component: str = "predictor", seconds: float = READY_SECONDS) -> list[str]:
        """Wait for a number of ready pods; their names."""
        until(lambda: len(self.pod_names(component)) == number, f"{number} pods of {component} are ready", seconds)
        return self.pod_names(component)

    def replicas(self, component: str = "predictor") -> int:
        """Replicas that the Deployment should have."""
        found = self.namespace.get("deployment", f"{self.name}-{component}")
        assert found is not None
        return found["spec"]["replicas"]

    def metric(self, pod: str, pattern: str, port: int = 8082) -> float:
        """Sum of a pod's samples whose line matches a pattern."""
        text = self.namespace.raw(f"pods/{pod}:{port}/proxy/metrics").stdout
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(pattern, line))

    def inputs(self, way: str, component: str = "predictor") -> float:
        """Calls of models that the component's Tritons answered, whose input came by `memory` or `http`."""
        pattern = rf'crowdserve_triton_inputs_total{{way="{way}"}}'
        return sum(self.metric(pod, re.escape(pattern)) for pod in self.pod_names(component))

    # requests

    def count(self, component: str = "predictor") -> float:
        """The photo's count, as of `ask`."""
        return float(self.ask(component)["count"])

    def ask(self, component: str = "predictor") -> dict[str, Any]:
        """Count the photo once, through the API server to the Service: the first value of each output.

        The first request must be answered. Only the time in which a pod that is ready enters its Service, some tenths
        of a second, is waited for.
        """
        path = f"services/{self.name}-{component}:80/proxy/v2/models/crowdserve/infer"

        def reply() -> Done | None:
            done = self.namespace.raw(path, self.request, check=False)
            return None if "no endpoints available" in done.stderr else done

        done = until(reply, "the Service has a pod", 3)
        assert done.returncode == 0, done.stderr
        return outputs(done.stdout)

    def answers(self) -> bool:
        """Whether the gateway leads to a service that is ready."""
        url = f"http://{self.settings.gateway_address}/v2/health/ready"
        try:
            return httpx.get(url, headers={"host": self.settings.host}, trust_env=False, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def await_answers(self, seconds: float = 60) -> None:
        """Wait until the gateway leads to the service."""
        until(self.answers, "the gateway answers", seconds)

    def _command(self, protocol: str, options: Mapping[str, object]) -> list[str]:
        host = self.settings.host if protocol == "rest" else self.settings.grpc_host
        chosen: dict[str, object] = {
            "protocol": protocol,
            "address": self.settings.gateway_address,
            "host": host,
            "photo": self.photo,
            **options,
        }
        return [sys.executable, str(LOAD_SCRIPT), *(f"--{name}={value}" for name, value in chosen.items())]

    def start_load(self, what: str, protocol: str = "rest", **options: object) -> Running:
        """Start a load through the gateway."""
        process = subprocess.Popen(
            self._command(protocol, options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return Running(process, what, self.test)

    @contextmanager
    def load(self, what: str, protocol: str = "rest", **options: object) -> Iterator[Running]:
        """A load through the gateway while the block runs; the result is there afterwards."""
        running = self.start_load(what, protocol, **options)
        try:
            running.await_begin()
            time.sleep(2)
            yield running
            time.sleep(1)
        except BaseException:
            running.process.kill()
            running.process.communicate()
            raise
        running.finish()

    def send(self, what: str, requests: int, protocol: str = "rest", **options: object) -> Result:
        """Send a number of requests and wait for their answers."""
        running = self.start_load(what, protocol, requests=requests, **options)
        return running.finish(at_once=False)


def outputs(reply: str) -> dict[str, Any]:
    """The first value of each output of an answer."""
    return {each["name"]: each["data"][0] for each in json.loads(reply)["outputs"]}


def merged(values: Values, changes: Values) -> dict[str, Any]:
    """Values with changes, as Helm merges values files."""
    result = dict(values)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result
