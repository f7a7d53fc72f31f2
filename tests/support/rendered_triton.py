"""Triton, started with the command line that the chart renders."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from crowdserve.local.processes import ChildProcess, choose_ports
from crowdserve.local.triton import find_triton, link_backends
from tests.support.rendering import Chart, Object

HOST = "127.0.0.1"


@dataclass
class RunningTriton:
    """A Triton that was started with a rendered command line, of device cpu unless a test says otherwise.

    Attributes:
        folder: The folder that it started in; models are in it.
        http_port: Port of REST.
        metrics_port: Port of its metrics.
        process: The process.
        container: Triton's container as rendered, with what is different here.
        variables: Its environment.
    """

    folder: Path
    http_port: int
    metrics_port: int
    process: ChildProcess
    container: Object
    variables: Mapping[str, str]

    @property
    def url(self) -> str:
        """Address of REST."""
        return f"http://{HOST}:{self.http_port}"

    @property
    def ready(self) -> bool:
        """Whether it says that it is ready."""
        try:
            return httpx.get(f"{self.url}/v2/health/ready", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def sockets(self) -> Path:
        """What stands for the volume with the Unix socket."""
        return self.folder / "sockets"

    def kill(self) -> None:
        """End it as the kernel does where memory is short, and start it again, as a kubelet does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.stop(1)
        self.process = ChildProcess("Triton", self.container["args"], folder=self.folder, env=self.variables)

    def probe(self, name: str) -> int:
        """Exit code of one of its probes."""
        return subprocess.run(self.container[name]["exec"]["command"], capture_output=True, timeout=10).returncode


@contextmanager
def running_triton(chart: Chart, folder: Path, **values: object) -> Iterator[RunningTriton]:
    """Start Triton in a folder that has the models."""
    install = find_triton()
    http_port, metrics_port = choose_ports(HOST, None, None)
    link_backends(install, folder / "installed")
    places = {
        "/opt/tritonserver/backends": str(folder / "installed"), "/tmp/backends": str(folder / "backends"),
        "/mnt/models": str(folder / "models"), "8085": str(http_port), "8002": str(metrics_port),
        "/dev/shm": str(folder / "shm"), "/run/crowdserve": str(folder / "sockets"),
    }  # fmt: skip
    text = json.dumps(chart.render("cpu-pip", **values).triton())
    for rendered, here in places.items():
        text = text.replace(rendered, here)
    container = json.loads(text)
    variables = {each["name"]: each["value"] for each in container["env"]}
    variables |= {
        "PATH": f"{install / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(install.parents[1] / "nvidia_pytriton.libs"),
    }
    for volume in ("shm", "sockets"):
        (folder / volume).mkdir(exist_ok=True)
    variables = {**os.environ, **variables}
    process = ChildProcess("Triton", container["args"], folder=folder, env=variables)
    found = RunningTriton(folder, http_port, metrics_port, process, container, variables)
    try:
        yield found
    finally:
        found.process.stop(20)
