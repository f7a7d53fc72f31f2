"""`crowdserve up` as a process of its own, to be measured from outside."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process_stats import cpu_seconds, descendants
from crowdserve.triton.config import AUTO
from tools.stub_models import write_small_repository


@dataclass(frozen=True, slots=True)
class Service:
    """A running `crowdserve up`."""

    url: str
    grpc_address: str
    metrics_url: str
    pid: int
    transformer_pid: int
    ready_seconds: float

    def transformer_cpu_seconds(self) -> float:
        """Processor time of the transformer and of its decoding processes so far."""
        return sum(map(cpu_seconds, descendants(self.transformer_pid)))


@contextmanager
def running_service(repository: Path, precision: str = AUTO) -> Iterator[Service]:
    """Start the service on a repository's models; stop it when the block ends."""
    command = [sys.executable, "-m", "crowdserve", "up", "--repository", str(repository), "--precision", precision]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline() if process.stdout else "" for _ in ("REST", "gRPC", "metrics")]
            found = [line.split()[-1] for line in lines if re.match(r"(REST|gRPC|metrics) ", line)]
            if len(found) != 3:
                sys.exit("crowdserve up did not start; see above")
            rest, grpc, metrics = found
            ready_seconds = time.perf_counter() - started
            (transformer,) = (pid for pid in descendants(process.pid) if "-m crowdserve_transformer " in _command(pid))
            yield Service(rest.partition("/v2")[0], grpc, metrics, process.pid, transformer, ready_seconds)
        finally:
            process.terminate()


@contextmanager
def free_networks() -> Iterator[Service]:
    """The service with networks that cost almost nothing, so that its own cost remains."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        write_small_repository(repository, sampled=True)
        with running_service(repository) as service:
            yield service


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
