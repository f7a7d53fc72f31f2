"""The real Triton server from the `nvidia-pytriton` wheel, as a child process.

The wheel holds `tritonserver` and its python backend for Linux on x86-64. Python 3.10 to 3.13 each have a stub, the
process that runs a python-backend model; this module links it beside the backend, in a folder of links.
"""

import http
import http.client
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType

from crowdserve.cards import CARDS, ENSEMBLES, Precision
from crowdserve.errors import PlatformError
from crowdserve.local.precision import choose_execution, choose_precision
from crowdserve.local.processes import ChildProcess, choose_ports
from crowdserve.scratch import SHARED_MEMORY, Scratch
from crowdserve.triton.config import EXECUTIONS

HOST = "127.0.0.1"
MIN_SHM_BYTES = 48 << 20
"""Free space needed in /dev/shm: images reach the python backend through it, 13 MB for one of 2048 px."""

READY_TIMEOUT_SECONDS = 60.0
CLOSED_APIS = "model-repository,shared-memory,trace,logging"
UNSENDABLE = "\n\n"
"""The value that a header would need for the closed APIs. An empty line ends a request's headers, so none can have it:
there is no key, and nothing to keep secret in the list of processes."""

CLOSED_PROTOCOLS = "inference,metadata,statistics,model-config,model-repository,trace,logging"
"""All of gRPC but shared memory and health."""

_PORT_OF_SOCKET = 1
"""Triton ends every address with a port, also that of a Unix socket, where it becomes a part of the path."""

_SOCKET = re.compile(r"[\w/.:~+-]{1,100}", re.ASCII)
"""A path that gRPC listens on as it is: %, # and ? mean something in its addresses. The kernel takes 107 bytes."""

_EXIT_TIMEOUT_SECONDS = 5  # for requests in flight
_STOP_GRACE_SECONDS = _EXIT_TIMEOUT_SECONDS + 5.0
_STUB = "triton_python_backend_stub"

_ARENAS = "MALLOC_ARENA_MAX"
"""Variable of glibc: each of Triton's many threads would keep freed memory in an arena of its own, 100 MiB in all."""


_TUNABLES = "GLIBC_TUNABLES"
_HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""Memory of FP32 networks in huge pages where the kernel has them on request: it is freed after each photo, and a
hundred thousand pages of 4 kB would have to be mapped for the next."""


class EmbeddedTriton:
    """Context manager: Triton serves a repository of the embedded profile while the block runs.

    Several instances can run side by side. There is no gRPC port: the transformer speaks REST with it. A Unix socket in
    a folder that only this user can enter has what shares memory with it.

    Args:
        repository: A rendered embedded-profile repository.
        host: Address of every port; another of 127.0.0.0/8 takes the place of another machine.
        http_port: REST port; a free one if None.
        metrics_port: Prometheus port; a free one if None.
        threads: CPU threads of one network; every core if None.
        precision: Precision of the networks; what this machine does well if None, see `choose_precision`.

    Raises:
        PlatformError: If this machine does not compute in that precision.
    """

    def __init__(
        self,
        repository: Path,
        *,
        host: str = HOST,
        http_port: int | None = None,
        metrics_port: int | None = None,
        threads: int | None = None,
        precision: str | None = None,
    ) -> None:
        self._repository = repository.resolve()
        self._host = host
        self._wanted_ports = (http_port, metrics_port)
        self._threads = threads
        self.precision: Precision = choose_precision(precision)
        self._scratch: Scratch | None = None
        self._process: ChildProcess | None = None
        self.http_url = self.metrics_url = self.memory_socket = ""

    def __enter__(self) -> "EmbeddedTriton":
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def process(self) -> ChildProcess:
        """The running server.

        Raises:
            PlatformError: If it was not started.
        """
        if self._process is None:
            raise PlatformError("Triton is not running; use `with EmbeddedTriton(…)`")
        return self._process

    @property
    def pid(self) -> int:
        """The server's process id, also its process group's."""
        return self.process.pid

    def start(self) -> None:
        """Start the server without waiting for its models.

        Raises:
            PlatformError: If this machine cannot run it, or a port is taken.
        """
        install = find_triton()
        check_shared_memory()
        ports = choose_ports(self._host, *self._wanted_ports)
        self.http_url, self.metrics_url = (f"{self._host}:{port}" for port in ports)
        self._scratch = scratch = Scratch("triton")
        backends = link_backends(install, scratch.folder / "backends")
        env = _environment(install, self._threads, self.precision) | {
            "CROWDSERVE_TRITON_TURNS": str(scratch.folder / "turns")
        }
        check_stub(backends / "python" / _STUB, env)
        self.memory_socket = memory_socket(scratch.folder)
        command = [str(install / "bin" / "tritonserver"), *self._flags(backends, scratch.regions, *ports)]
        self._process = ChildProcess("Triton", command, folder=scratch.folder, env=env, lock=scratch.lock)

    def wait_ready(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> None:
        """Wait until every model is loaded and warm.

        Raises:
            PlatformError: If Triton ends first or takes too long; the message holds the end of its log.
        """
        self.process.wait_until(lambda: answers_ok(self.http_url, "/v2/health/ready"), timeout_seconds)

    def stop(self) -> None:
        """Stop the server and its backend processes, and clear its files in /dev/shm; do nothing if it is gone."""
        if self._process is not None:
            self._process.stop(_STOP_GRACE_SECONDS)
            self._process = None
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    def _flags(self, backends: Path, regions: str, http_port: int, metrics_port: int) -> list[str]:
        return [
            f"--model-repository={self._repository}",
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-region-prefix-name={regions}",
            f"--model-config-name={choose_execution(self.precision)}",
            f"--http-address={self._host}",
            f"--http-port={http_port}",
            *self._grpc_flags(),
            f"--metrics-port={metrics_port}",
            f"--http-restricted-api={CLOSED_APIS}:nobody={UNSENDABLE}",
            "--model-control-mode=explicit",
            *(f"--load-model={name}" for name in served_models(self._repository)),
            "--disable-auto-complete-config",
            "--strict-readiness=true",
            "--exit-on-error=true",
            f"--exit-timeout-secs={_EXIT_TIMEOUT_SECONDS}",
            "--allow-gpu-metrics=false",
            "--log-info=false",  # the log then holds what an error message should show
            "--pinned-memory-pool-byte-size=0",
        ]

    def _grpc_flags(self) -> list[str]:
        if not self.memory_socket:
            return ["--allow-grpc=false"]
        path, _, port = self.memory_socket.rpartition(":")
        return [
            f"--grpc-address=unix:{path}",
            f"--grpc-port={port}",
            f"--grpc-restricted-protocol={CLOSED_PROTOCOLS}:nobody={UNSENDABLE}",
        ]


def memory_socket(folder: Path) -> str:
    """Path of the Unix socket of gRPC in a folder; empty if gRPC would not listen there."""
    path = str(folder / f"memory:{_PORT_OF_SOCKET}")
    return path if _SOCKET.fullmatch(path) else ""


def served_models(repository: Path) -> list[str]:
    """The models of the cards that a repository has; nothing else in it is loaded."""
    names = [*CARDS, *(ensemble.name for ensemble in ENSEMBLES.values())]
    return [name for name in names if (repository / name).is_dir()]


def find_triton() -> Path:
    """The folder of the wheel that holds `bin/tritonserver`.

    Raises:
        PlatformError: If this is not Linux on x86-64, or the wheel is not installed.
    """
    machine = (platform.system(), platform.machine())
    if machine != ("Linux", "x86_64"):
        raise PlatformError(
            f"the embedded Triton runs on Linux x86-64; this is {' '.join(machine)}: use a container or a remote "
            "service (crowdserve count --url)"
        )
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        command = "'crowdserve[embedded]'" if sys.version_info < (3, 13) else "--no-deps 'nvidia-pytriton>=0.7,<0.8'"
        raise PlatformError(f"the embedded Triton is not installed; run: pip install {command}")
    return Path(spec.origin).parent / "tritonserver"


def check_shared_memory(folder: Path = SHARED_MEMORY, needed_bytes: int = MIN_SHM_BYTES) -> None:
    """Check that the python backend has room for its shared memory.

    Raises:
        PlatformError: If `folder` is missing or too small.
    """
    free_bytes = shutil.disk_usage(folder).free if folder.is_dir() else 0
    if free_bytes < needed_bytes:
        raise PlatformError(
            f"{folder} has {free_bytes >> 20} MB free, the embedded Triton needs {needed_bytes >> 20} MB; in a "
            "container raise it (docker run --shm-size=256m; on Kubernetes an emptyDir with medium: Memory)"
        )


def link_backends(install: Path, folder: Path) -> Path:
    """Make a backend directory of links, with the stub of this Python beside the python backend.

    Raises:
        PlatformError: If the wheel has no stub for this Python.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = install / "python_backend_stubs" / version / _STUB
    if not stub.is_file():
        there_are = ", ".join(sorted(path.name for path in stub.parent.parent.iterdir()))
        raise PlatformError(f"the embedded Triton has no python backend for Python {version}, only for {there_are}")
    python = folder / "python"
    python.mkdir(parents=True)
    for file in (stub, *(install / "backends" / "python").glob("*[!_]")):
        (python / file.name).symlink_to(file)
    return folder


def lay_out(folder: Path) -> None:
    """Make a folder as in Triton's own images, of links to the wheel: `bin`, `lib`, and `backends` with the stub.

    Triton looks for backends in /opt/tritonserver/backends. The Dockerfile of the image for CPUs calls this.

    Raises:
        PlatformError: If this machine cannot run Triton with this Python.
    """
    install = find_triton()
    backends = link_backends(install, folder / "backends")
    (folder / "bin").symlink_to(install / "bin")
    (folder / "lib").symlink_to(_libraries(install))
    check_stub(backends / "python" / _STUB, _environment(install))


def check_stub(stub: Path, env: Mapping[str, str]) -> None:
    """Run the stub without arguments: its exit code is 1, or 127 where a shared library is missing.

    Raises:
        PlatformError: If a library is missing, with the loader's message.
    """
    result = subprocess.run([str(stub)], env=dict(env), capture_output=True, text=True, timeout=60)
    if result.returncode == 127:
        library = sysconfig.get_config_var("INSTSONAME") or "libpython"
        reason = result.stderr.strip().rpartition("error while ")[2]
        raise PlatformError(
            f"the python backend cannot start ({reason}): it needs a Python with its shared library, {library}; "
            f"on Debian and Ubuntu: apt-get install libpython3.{sys.version_info.minor}"
        )


def _environment(install: Path, threads: int | None = None, precision: Precision | None = None) -> dict[str, str]:
    """This environment with the libraries of the wheel and of this Python first; the stub finds packages by PATH."""
    libraries = [str(_libraries(install)), sysconfig.get_config_var("LIBDIR") or ""]
    env = dict(os.environ)
    env["LD_LIBRARY_PATH"] = os.pathsep.join([*filter(None, libraries), *filter(None, [env.get("LD_LIBRARY_PATH")])])
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    env.setdefault(_ARENAS, "2")
    if precision and EXECUTIONS[choose_execution(precision)][1] == "fp32":
        env.setdefault(_TUNABLES, _HUGE_PAGES)
    if threads is not None:
        env["CROWDSERVE_TRITON_THREADS"] = str(threads)
    return env


def _libraries(install: Path) -> Path:
    """The wheel's folder of shared libraries."""
    return install.parents[1] / "nvidia_pytriton.libs"


def answers_ok(address: str, path: str) -> bool:
    """Whether a local HTTP server answers a GET with 200."""
    with closing(http.client.HTTPConnection(address, timeout=2)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
