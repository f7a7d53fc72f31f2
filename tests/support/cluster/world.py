"""A release in a stand-in API server with a Prometheus, a gateway and a golden set, as the rollout commands see it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from crowdserve.cli.app import app
from crowdserve.errors import CrowdServeError
from crowdserve.rollout.actions import Actions
from crowdserve.rollout.cluster import connect
from crowdserve.rollout.state import Record, parse_record
from tests.support.cluster.api_server import ApiServer, Key
from tests.support.cluster.cluster_objects import NEW
from tests.support.cluster.gateway import Gateway
from tests.support.cluster.prometheus_server import PrometheusServer

PEOPLE = (3, 10, 50)
PODS = {
    "crowd-predictor": "crowd-predictor-5f7c9-abcde",
    "crowd-canary-predictor": "crowd-canary-predictor-77d4b-fghij",
}


@dataclass
class Reply:
    """The output and exit code of a command; 2 stands for an error of crowdserve."""

    code: int
    out: str
    error: str


@dataclass
class World:
    """The surroundings of the commands: API server, Prometheus, gateway and golden set."""

    api: ApiServer
    prometheus: PrometheusServer
    gateway: Gateway
    golden: Path
    requests: int = 400
    errors: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def rollout(self, *arguments: str) -> Reply:
        """Run `crowdserve rollout` in this process."""
        result = CliRunner().invoke(app, ["rollout", *arguments])
        if isinstance(result.exception, CrowdServeError):
            return Reply(2, result.stdout, str(result.exception))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Reply(result.exit_code, result.stdout, result.stderr)

    def auto(self, *arguments: str) -> Reply:
        """Run `auto` with all measurements of the gate and no waiting."""
        asked = ["--prometheus", self.prometheus.url, "--golden", str(self.golden), "--url", self.gateway.url]
        pace = ["--settle-seconds", "0", "--soak-seconds", "0", "--patience-seconds", "0", "--poll-seconds", "0.02"]
        return self.rollout("auto", "crowd", *asked, *pace, *arguments)

    def moves(self, *, ready_seconds: float = 5.0) -> Actions:
        """The moves of another, concurrent command."""
        return Actions(connect(None), "crowd", lambda _: None, ready_seconds)

    def record(self) -> Record:
        """The record on the route."""
        return parse_record(self.api.read("httproutes", "crowd"))

    def start(self) -> None:
        """Start a rollout of the new version."""
        reply = self.rollout("start", "crowd", "--storage-uri", NEW)
        assert reply.code == 0, reply

    def weights(self) -> list[int]:
        """The canary's weight in each of the two routes."""
        routes = self.api.read("httproutes", "crowd"), self.api.read("grpcroutes", "crowd-grpc")
        return [each["spec"]["rules"][-1]["backendRefs"][1]["weight"] for each in routes]

    def history(self, plural: str = "httproutes", name: str = "crowd") -> list[int]:
        """The canary's weights that a route was given, in order."""
        return [
            operation["value"]
            for each_plural, each_name, body in self.api.patches
            if (each_plural, each_name) == (plural, name)
            for operation in body
            if operation["path"].endswith("backendRefs/1/weight")
        ]

    def serve_traffic(self, key: Key) -> None:
        """Users' requests after a route has changed: each track serves its share, enough for a verdict."""
        if key[0] != "httproutes" or not self.weights()[0]:
            return
        for service, pod in PODS.items():
            if service == "crowd-predictor" and self.weights()[0] == 100:
                continue
            self.prometheus.observe(
                pod, self.requests, errors=self.errors.get(service, 0), seconds=self.seconds.get(service, 0.2)
            )


def write_golden(folder: Path, gateway: Gateway) -> Path:
    """Write a golden set in the layout of JHU-CROWD++; the gateway knows its counts."""
    images, truths = folder / "test" / "images", folder / "test" / "gt"
    images.mkdir(parents=True)
    truths.mkdir()
    for i, people in enumerate(PEOPLE, start=1):
        photo = f"the pixels of photo {i}".encode()  # never decoded: the services are stand-ins
        (images / f"{i:04}.png").write_bytes(photo)
        (truths / f"{i:04}.txt").write_text("4 4 1 1 0 0\n" * people)
        gateway.truth[photo] = people
    return folder


def kubeconfig(server: str) -> dict[str, Any]:
    """A kubeconfig that leads to an API server without any authentication, to the namespace demo."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "demo"}}],
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {}}],
    }
