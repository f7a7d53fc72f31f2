"""Triton over REST: one that runs already, or `tritonserver` from PATH on the repository."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.gpu.served_models import ServedModel, Shape, images_of
from benchmarks.gpu.stopwatch import Timing, measure
from crowdserve.errors import PlatformError
from crowdserve.local.processes import ChildProcess, choose_ports
from crowdserve.local.triton import HOST, answers_ok
from crowdserve.scratch import Scratch

LABEL = "Triton REST"
SECONDS, MOST_CALLS = 0.5, 30
STOP_SECONDS = 0.2
"""It has nothing to finish, and what it leaves is cleared."""


def find_server() -> str | None:
    """The program, if it is there."""
    return shutil.which("tritonserver")


@contextmanager
def started(program: str, repository: Path, models: Sequence[ServedModel], seconds: float) -> Iterator[str]:
    """A Triton with these models on loopback while the block runs; yields its address.

    Raises:
        PlatformError: If it ends, or is not ready within some seconds.
    """
    (port,) = choose_ports(HOST, None)
    address = f"{HOST}:{port}"
    with Scratch("benchmark") as scratch:
        command = [
            program,
            f"--model-repository={repository.resolve()}",
            f"--http-address={HOST}",
            f"--http-port={port}",
            "--allow-grpc=false",
            "--allow-metrics=false",
            f"--backend-config=python,shm-region-prefix-name={scratch.regions}",
            "--model-control-mode=explicit",
            *(f"--load-model={model.card.name}" for model in models),
        ]
        process = ChildProcess("Triton", command, folder=scratch.folder, env=os.environ, lock=scratch.lock)
        try:
            process.wait_until(lambda: answers_ok(address, "/v2/health/ready"), seconds)
            yield address
        finally:
            process.stop(STOP_SECONDS)


def time_triton(address: str, model: ServedModel, shape: Shape) -> tuple[Timing, float | None]:
    """Time requests of one caller; the second value is the people in one image.

    Raises:
        PlatformError: If `tritonclient` is missing.
    """
    try:
        from tritonclient import http
    except ImportError as err:
        raise PlatformError("no Triton client; run: pip install 'tritonclient[http]'") from err
    card = model.card
    images = http.InferInput(card.input.name, [shape.batch, shape.height, shape.width, 3], card.input.dtype)
    images.set_data_from_numpy(images_of(shape))
    outputs = [http.InferRequestedOutput(tensor.name) for tensor in card.outputs]
    answers: list[Any] = []
    with http.InferenceServerClient(address, network_timeout=60.0) as client:

        def call() -> None:
            answers[:] = [client.infer(card.name, [images], outputs=outputs)]

        timing = measure(call, "cpu", seconds=SECONDS, most_calls=MOST_CALLS)
    has_count = "count" in [tensor.name for tensor in card.outputs]
    return timing, float(answers[0].as_numpy("count")[0, 0]) if has_count else None
