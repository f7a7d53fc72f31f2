"""Loads that run while something happens to a release, and the table of what they lost."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster.kube import until

if TYPE_CHECKING:
    from tests.cluster.release import Release

LOAD_SCRIPT = Path(__file__).with_name("load_script.py")


@dataclass(slots=True)
class Lost:
    """What a load lost, for the table at the end of the run."""

    test: str
    what: str
    requests: int
    lost: int
    p95: float


TABLE: list[Lost] = []


@dataclass(frozen=True, slots=True)
class Result:
    """What happened to the requests of a load."""

    requests: int
    lost: list[dict[str, Any]]
    pods: Mapping[str, int]
    seconds: list[float]

    def of(self, part: str) -> int:
        """Answers of the pods whose name begins with a part."""
        return sum(number for pod, number in self.pods.items() if pod.startswith(part))


@dataclass(slots=True)
class Running:
    """A load that runs; `result` is there when it is over."""

    process: "subprocess.Popen[str]"
    what: str
    test: str
    _result: Result | None = None

    @property
    def result(self) -> Result:
        """The result of a load that is over."""
        assert self._result is not None, "the load still runs"
        return self._result

    def await_begin(self) -> None:
        """Wait until it sends requests."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "begins\n", (line, self.process.communicate())

    def finish(self, *, at_once: bool = True, seconds: float = 320) -> Result:
        """End it, after the requests in flight, or wait until it has ended."""
        if at_once:
            self.process.terminate()
        out, err = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, err
        self._result = read_result(out, self.test, self.what)
        return self._result


def read_result(text: str, test: str, what: str) -> Result:
    """The result that the script printed; it enters the table."""
    found = json.loads(text.strip().splitlines()[-1])
    result = Result(found["requests"], found["lost"], found["pods"], sorted(found["seconds"]))
    p95 = result.seconds[int(0.95 * len(result.seconds))] if result.seconds else 0.0
    TABLE.append(Lost(test, what, result.requests, len(result.lost), p95))
    return result


@dataclass(slots=True)
class PodLoad:
    """A load by gRPC that runs in a pod of the cluster for a time."""

    release: "Release"
    what: str
    address: str
    seconds: float

    def start(self) -> None:
        """Start it, and wait until it sends requests."""
        script = LOAD_SCRIPT.read_text()
        arguments = {
            "protocol": "grpc",
            "address": self.address,
            "photo": "/photo/pedestrians.jpg",
            "seconds": self.seconds,
        }
        security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
        self.release.namespace.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "load"},
                "spec": {
                    "restartPolicy": "Never",
                    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [
                        {
                            "name": "load",
                            "image": self.release.settings.transformer_image,
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["python", "-c", script, *(f"--{k}={v}" for k, v in arguments.items())],
                            "securityContext": security,
                            "volumeMounts": [{"name": "photo", "mountPath": "/photo"}],
                        }
                    ],
                    "volumes": [{"name": "photo", "configMap": {"name": f"{self.release.name}-test-photo"}}],
                },
            }
        )
        namespace = self.release.namespace
        until(lambda: "begins" in namespace.kubectl("logs", "load", check=False).stdout, "the load in a pod begins", 90)

    def finish(self) -> Result:
        """Wait until it is over."""
        namespace = self.release.namespace
        namespace.kubectl(
            "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/load", f"--timeout={self.seconds + 60:g}s",
            seconds=self.seconds + 70,
        )  # fmt: skip
        return read_result(namespace.kubectl("logs", "load").stdout, self.release.test, self.what)
