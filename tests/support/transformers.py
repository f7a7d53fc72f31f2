"""Transformers with given settings, in separate processes."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crowdserve.local.processes import ChildProcess, choose_ports
from tests.support.waiting import answers

HOST = "127.0.0.1"
READY_SECONDS = 150.0


@dataclass(frozen=True)
class RunningTransformer:
    """A running transformer: `http_url` is for REST, `grpc_url` for gRPC, `metrics_url` has the metrics."""

    process: ChildProcess
    http_url: str
    grpc_url: str
    metrics_url: str


class StartTransformer(Protocol):
    """The fixture `start_transformer`: `run_transformer` with the small repository and a new folder."""

    def __call__(self, predictor: str, **settings: object) -> AbstractContextManager[RunningTransformer]: ...


@contextmanager
def run_transformer(
    predictor: str, *, repository: Path, folder: Path, **settings: object
) -> Iterator[RunningTransformer]:
    """Run a transformer in front of the Triton at an address, while the block runs."""
    http_port, grpc_port, metrics_port = choose_ports(HOST, None, None, None)
    chosen = {
        "host": HOST,
        "http_port": http_port,
        "grpc_port": grpc_port,
        "metrics_port": metrics_port,
        "predictor_host": predictor,
        "repository": repository,
        "drain_seconds": 0,
        **settings,
    }
    flags = [f"--{name}={value}" for name, value in chosen.items()]
    command = [sys.executable, "-m", "crowdserve_transformer", *flags]
    process = ChildProcess("the transformer", command, folder=folder, env=os.environ)
    try:
        process.wait_until(lambda: answers(f"http://{HOST}:{http_port}/v2/health/live"), READY_SECONDS)
        metrics_url = f"http://{HOST}:{metrics_port}/metrics"
        yield RunningTransformer(process, f"http://{HOST}:{http_port}", f"{HOST}:{grpc_port}", metrics_url)
    finally:
        process.stop(10)
