"""The whole service on this machine: the real Triton with the transformer in front of it, as child processes."""

import importlib.util
import os
import sys
import time
from pathlib import Path
from types import TracebackType

from crowdserve.cards import MODEL_NAME
from crowdserve.errors import PlatformError
from crowdserve.local.precision import choose_precision
from crowdserve.local.processes import ChildProcess, choose_ports
from crowdserve.local.triton import EmbeddedTriton, answers_ok
from crowdserve.network import REACHED, join_address
from crowdserve.scratch import Scratch
from crowdserve.triton.repository import check_eight_bits, render_repository

READY_TIMEOUT_SECONDS = 90.0
TRITON_TIMEOUT_SECONDS = 600
"""Limit for one answer: a 2048 px photo takes most of a minute on two cores, and others may be queued before it."""

_GRACE_SECONDS = 5
_POLL_SECONDS = 0.25
_NOT_RUNNING = "the service is not running; use `with EmbeddedService(…)`"


class EmbeddedService:
    """Context manager: the service answers while the block runs.

    Args:
        repository: A Triton repository of any profile, with the scene classifier beside vgg16's model.
        host: Address that the transformer listens on; Triton stays on 127.0.0.1.
        http_port: REST port of the transformer; a free one if None.
        grpc_port: gRPC port of the transformer; a free one if None.
        metrics_port: Port of the transformer's metrics; a free one if None.
        threads: CPU threads of one network; every core if None.
        precision: Precision of the networks; what this machine does well if None.
        console: The transformer's setting of that name.
        console_hosts: The same.

    Raises:
        PlatformError: If this machine does not compute in that precision.

    Attributes:
        precision: Precision of the networks.
        http_url: Address of REST, such as ``http://127.0.0.1:8080``.
        grpc_url: Address of gRPC, such as ``127.0.0.1:8081``.
        metrics_url: Address of the transformer's metrics, such as ``http://127.0.0.1:8082/metrics``.
    """

    def __init__(
        self,
        repository: Path,
        *,
        host: str = "127.0.0.1",
        http_port: int | None = None,
        grpc_port: int | None = None,
        metrics_port: int | None = None,
        threads: int | None = None,
        precision: str | None = None,
        console: str = "off",
        console_hosts: str = "",
    ) -> None:
        self._source = repository
        self._host = host
        self._wanted_ports = (http_port, grpc_port, metrics_port)
        self._threads = threads
        self._console, self._console_hosts = console, console_hosts
        self.precision = choose_precision(precision)
        self._scratch: Scratch | None = None
        self._triton: EmbeddedTriton | None = None
        self._transformer: ChildProcess | None = None
        self.http_url = self.grpc_url = self.metrics_url = ""

    def __enter__(self) -> "EmbeddedService":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def triton(self) -> EmbeddedTriton:
        """The running Triton behind the transformer.

        Raises:
            PlatformError: If it was not started.
        """
        if self._triton is None:
            raise PlatformError(_NOT_RUNNING)
        return self._triton

    @property
    def transformer(self) -> ChildProcess:
        """The running transformer.

        Raises:
            PlatformError: If it was not started.
        """
        if self._transformer is None:
            raise PlatformError(_NOT_RUNNING)
        return self._transformer

    def watch(self) -> None:
        """Block for as long as both processes run.

        Raises:
            PlatformError: When one of them ends on its own.
        """
        while True:
            self.triton.process.check_alive()
            self.transformer.check_alive()
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop the transformer, then Triton; do nothing if they are gone."""
        if self._transformer is not None:
            self._transformer.stop(_GRACE_SECONDS + 2.0)
            self._transformer = None
        if self._triton is not None:
            self._triton.stop()
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    def _start(self) -> None:
        """Start both at once: the transformer's imports take as long as Triton's models."""
        check_transformer()
        self._scratch = scratch = Scratch("service")
        repository = scratch.folder / "repository"
        if self.precision == "int8":
            check_eight_bits(self._source)
        render_repository(self._source, repository, "embedded")
        ports = choose_ports(self._host, *self._wanted_ports)
        self._triton = EmbeddedTriton(repository, threads=self._threads, precision=self.precision)
        self._triton.start()
        command = self._command(repository, *ports)
        self._transformer = ChildProcess(
            "the transformer", command, folder=scratch.folder, env=os.environ, lock=scratch.lock
        )
        reached = REACHED.get(self._host, self._host)
        address, self.grpc_url, metrics = (join_address(reached, port) for port in ports)
        self.http_url, self.metrics_url = f"http://{address}", f"http://{metrics}/metrics"
        self._triton.wait_ready()
        path = f"/v2/models/{MODEL_NAME}/ready"
        self._transformer.wait_until(lambda: answers_ok(address, path), READY_TIMEOUT_SECONDS)

    def _command(self, repository: Path, http_port: int, grpc_port: int, metrics_port: int) -> list[str]:
        settings = {
            "model_name": MODEL_NAME,
            "host": self._host,
            "http_port": http_port,
            "grpc_port": grpc_port,
            "metrics_port": metrics_port,
            "predictor_host": self.triton.http_url,
            "triton_memory_socket": self.triton.memory_socket,
            "repository": repository,
            "triton_timeout_seconds": TRITON_TIMEOUT_SECONDS,
            "request_timeout_seconds": TRITON_TIMEOUT_SECONDS,
            "console": self._console,
            "console_hosts": self._console_hosts,
            "drain_seconds": 0,  # there is no load balancer to notice first
            "grace_seconds": _GRACE_SECONDS,
        }
        flags = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
        return [sys.executable, "-m", "crowdserve_transformer", *flags]


def check_transformer() -> None:
    """Check that the transformer and the SDK that it is built on are installed.

    Raises:
        PlatformError: If one of them is missing.
    """
    missing = [name for name in ("crowdserve_transformer", "kserve") if importlib.util.find_spec(name) is None]
    if missing:
        raise PlatformError(f"{' and '.join(missing)} not installed; run: pip install 'crowdserve[serving,embedded]'")
