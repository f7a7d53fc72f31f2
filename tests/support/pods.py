"""Tritons side by side on one port, as the pods behind a headless Service, and the name server that lists them."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from crowdserve.local.processes import choose_ports
from crowdserve.local.triton import EmbeddedTriton
from crowdserve.triton.repository import render_repository

HOST = "triton.test"


def address(number: int) -> str:
    """The IP address of a pod; numbers start at 1."""
    return f"127.0.0.{number + 1}"


class Addresses:
    """Resolves the host; a test changes the answer.

    Attributes:
        pods: Numbers of the pods that the name server lists; it fails while there is none.
        failures: How often it failed.
    """

    def __init__(self, *pods: int) -> None:
        self.pods: Sequence[int] = pods
        self.failures = 0

    async def __call__(self, host: str) -> list[str]:
        assert host == HOST
        await asyncio.sleep(0)
        if not self.pods:
            self.failures += 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [address(pod) for pod in self.pods]


class Pods:
    """Tritons of the small models, started when a test asks for them.

    Pod 2 has vgg16 and csrnet_a of version 2 and so on, so that an answer says which pod gave it.

    Args:
        models: An embedded repository whose models have version 1.
        folder: Where the pods' repositories go.
    """

    def __init__(self, models: Path, folder: Path) -> None:
        (self.port,) = choose_ports(address(1), None)
        self._models = models
        self._folder = folder
        self._tritons: dict[int, EmbeddedTriton] = {}

    @property
    def predictor_host(self) -> str:
        """The transformer's setting."""
        return f"{HOST}:{self.port}"

    def start(self, *pods: int) -> None:
        """Have some pods running and ready."""
        started = [pod for pod in pods if pod not in self._tritons]
        for pod in started:
            self._tritons[pod] = EmbeddedTriton(self.repository(pod), host=address(pod), http_port=self.port, threads=1)
            self._tritons[pod].start()
        for pod in started:
            self._tritons[pod].wait_ready()

    def repository(self, pod: int) -> Path:
        """The pod's repository; it is written at the first call."""
        folder = self._folder / str(pod)
        if not folder.exists():
            render_repository(self._models, folder, "embedded")
            for model in ("vgg16", "csrnet_a"):
                shutil.move(folder / model / "1", folder / model / str(pod))
        return folder

    def kill(self, pod: int) -> None:
        """End a pod's processes at once."""
        triton = self._tritons.pop(pod)
        os.killpg(triton.pid, signal.SIGKILL)
        triton.stop()

    def signal(self, pod: int, number: signal.Signals) -> None:
        """Send a signal to a pod's server."""
        os.kill(self._tritons[pod].pid, number)

    def kill_all(self) -> None:
        """Kill every pod, which takes less time than stopping it."""
        for pod in list(self._tritons):
            self.kill(pod)
