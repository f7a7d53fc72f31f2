"""`crowdserve up`: run the service on this machine until Ctrl-C."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, NoReturn

import typer

from crowdserve.cli.options import PrecisionOption, RepositoryOption, ThreadsOption, find_repository
from crowdserve.terminal import say


def up(
    port: Annotated[
        int | None, typer.Option(help="REST port; 8080 if left out, or a free one if that is taken.")
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(help="gRPC port; 8081 if left out, or a free one if that is taken.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of the metrics; 8082 if left out, or a free one if that is taken.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; :: for all, of IPv6 and IPv4.")] = "127.0.0.1",
    repository: RepositoryOption = None,
    threads: ThreadsOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Start the service on this machine: a real Triton and the transformer. Ctrl-C stops it.

    It is for trying things out: this Triton is of 2024, gets no fixes, and listens on loopback only, whatever --host
    is.
    """
    from crowdserve.local.precision import execution_text
    from crowdserve.local.processes import preferred_port
    from crowdserve.local.service import EmbeddedService

    with _ending_on_signals():
        found = find_repository(repository)
        ports = {
            "http_port": port or preferred_port(host, 8080),
            "grpc_port": grpc_port or preferred_port(host, 8081),
        }
        ports["metrics_port"] = metrics_port or preferred_port(host, 8082, *ports.values())
        started = EmbeddedService(found, host=host, **ports, threads=threads, precision=precision and precision.value)
        say(f"starting Triton ({execution_text(started.precision)}) and the transformer …", err=True)
        with started as service:
            say(_welcome(service.http_url, service.grpc_url, service.metrics_url))
            sys.stdout.flush()
            service.watch()


def _welcome(http_url: str, grpc_url: str, metrics_url: str) -> str:
    return f"""\
REST     {http_url}/v2/models/crowdserve
gRPC     {grpc_url}
metrics  {metrics_url}

Count the people in photo.jpg:

  crowdserve count photo.jpg --url {http_url}

or, without this package:

  curl -s --data-binary @photo.jpg {http_url}/v2/models/crowdserve/infer

Ctrl-C stops the service."""


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Leave the block cleanly on Ctrl-C, SIGTERM and SIGHUP; a second signal does not interrupt the clean-up."""
    hears_hangups = hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN  # nohup
    numbers = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hears_hangups else []))

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in numbers:
        signal.signal(each, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        say("stopped", err=True)
