"""`crowdserve up`: run the service on this machine until Ctrl-C."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from crowdserve.cli.options import ConsoleHostsOption, PrecisionOption, RepositoryOption, ThreadsOption, find_repository
from crowdserve.network import REACHED, join_address
from crowdserve.terminal import say

_ANSWER_SECONDS = 30.0


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
    cameras: Annotated[
        Path | None,
        typer.Option(metavar="FILE.yaml", help="Watch these cameras too, as crowdserve watch does; see the console."),
    ] = None,
    console_hosts: ConsoleHostsOption = "",
    repository: RepositoryOption = None,
    threads: ThreadsOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Start the service on this machine: a real Triton and the transformer. Ctrl-C stops it.

    It is for trying things out: this Triton is of 2024, gets no fixes, and listens on loopback only, whatever --host
    is.
    """
    from crowdserve.console.hosts import chosen_hosts
    from crowdserve.local.precision import execution_text
    from crowdserve.local.processes import preferred_port
    from crowdserve.local.service import EmbeddedService

    chosen_hosts(console_hosts, host)
    with _ending_on_signals():
        found = find_repository(repository)
        ports = {
            "http_port": port or preferred_port(host, 8080),
            "grpc_port": grpc_port or preferred_port(host, 8081),
        }
        ports["metrics_port"] = metrics_port or preferred_port(host, 8082, *ports.values())
        watched = _Cameras(cameras, console_hosts) if cameras else None
        started = EmbeddedService(
            found,
            host=host,
            **ports,
            threads=threads,
            precision=precision and precision.value,
            console=watched.address if watched else "alone",
            console_hosts=console_hosts,
        )
        say(f"starting Triton ({execution_text(started.precision)}) and the transformer …", err=True)
        with started as service:
            say(_welcome(service.http_url, service.grpc_url, service.metrics_url))
            sys.stdout.flush()
            with watched.watching(service.http_url) if watched else nullcontext():
                service.watch()


class _Cameras:
    """The cameras of a configuration, which this process watches; the console asks it at an address of its own."""

    def __init__(self, file: Path, hosts: str) -> None:
        from crowdserve.cli.watching.packages import require_packages
        from crowdserve.local.processes import preferred_port

        require_packages()
        from crowdserve.cli.watching.reloading import Reloading
        from crowdserve.live.configuration import read_configuration

        self._file, self._hosts = file, hosts
        self._reloading = Reloading(file)  # a hang-up ends this command
        self._configuration = read_configuration(file)
        self._reloading.remember(self._configuration.secrets.files)
        site = self._configuration.site
        self._port = site.metrics_port or preferred_port(site.metrics_host, 9108)
        self.address = join_address(REACHED.get(site.metrics_host, site.metrics_host), self._port)

    @contextmanager
    def watching(self, url: str) -> Iterator[None]:
        """Watch them while the block runs."""
        from crowdserve.cli.watched_site import log_without_secrets, watching
        from crowdserve.cli.watching.reloading import following
        from crowdserve.client.service import ServiceClient
        from crowdserve.console.links import ServiceAddress

        log_without_secrets(self._configuration)
        address = ServiceAddress(url, use_proxy=False)
        with (
            ServiceClient(url, use_proxy=False, timeout_seconds=_ANSWER_SECONDS) as client,
            watching(
                self._configuration, client, address, file=self._file, port=self._port, hosts=self._hosts
            ) as watcher,
            following(watcher, self._file, self._reloading),
        ):
            yield


def _welcome(http_url: str, grpc_url: str, metrics_url: str) -> str:
    return f"""\
REST     {http_url}/v2/models/crowdserve
gRPC     {grpc_url}
metrics  {metrics_url}
console  {http_url}/console/

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
