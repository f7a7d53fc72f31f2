"""`crowdserve watch cameras.yaml`, or `crowdserve watch rtsp://…`: counts of cameras, until Ctrl-C."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crowdserve.cards import MODEL_NAME
from crowdserve.cli.options import (
    CaFileOption,
    ConsoleHostsOption,
    ModelOption,
    PrecisionOption,
    RepositoryOption,
    ThreadsOption,
    UrlOption,
    ZoneOption,
    ZonesOption,
)
from crowdserve.cli.watching.packages import require_packages
from crowdserve.client.tokens import SERVICE_TOKEN, read_token
from crowdserve.errors import SetupError
from crowdserve.terminal import printable, say

if TYPE_CHECKING:  # a command imports what it needs when it runs, so that --help is quick
    from crowdserve.cli.watching.printing import Printer
    from crowdserve.cli.watching.reloading import Reloading
    from crowdserve.live.watcher import Watcher

_ANSWER_SECONDS = 30.0
_LOOK_SECONDS = 0.2


def watch(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE.yaml | SOURCE…",
            help="A configuration, or cameras: rtsp://…, http://… (MJPEG, HLS, a snapshot), a video file, a folder, "
            "/dev/video0.",
            show_default=False,
        ),
    ],
    every: Annotated[str, typer.Option(help="Time from one count to the next, of sources.")] = "5s",
    zone: ZoneOption = None,
    zones: ZonesOption = None,
    url: UrlOption = None,
    model: ModelOption = None,
    ca_file: CaFileOption = None,
    history: Annotated[
        str | None, typer.Option(help="Keep counts of sources: sqlite:///FILE or postgresql+psycopg://…")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve Prometheus's metrics of sources on 127.0.0.1.")
    ] = None,
    divide: Annotated[
        str | None,
        typer.Option(
            envvar="CROWDSERVE_WATCH_DIVIDE",
            help="Divide the cameras of FILE.yaml among all watchers that name this, by Leases of Kubernetes.",
        ),
    ] = None,
    lease: Annotated[
        str, typer.Option(envvar="CROWDSERVE_WATCH_LEASE", help="Silence after which a divided watcher is dead.")
    ] = "15s",
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig, of divided watchers.")] = None,
    metrics_host: Annotated[
        str | None,
        typer.Option(envvar="CROWDSERVE_WATCH_METRICS_HOST", help="Serve metrics at this address, whatever FILE says."),
    ] = None,
    console_hosts: ConsoleHostsOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line for each reading.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Check the configuration and end.")] = False,
    repository: RepositoryOption = None,
    threads: ThreadsOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Count the people in cameras' pictures again and again, and say when a zone is too full.

    The configuration is read again when it has changed, and at SIGHUP.
    """
    require_packages()
    from crowdserve.certificates import CA_FILE
    from crowdserve.cli.options import open_service
    from crowdserve.cli.watched_site import log_without_secrets, watching
    from crowdserve.cli.watching.division import dividing
    from crowdserve.cli.watching.printing import Printer
    from crowdserve.cli.watching.reloading import Reloading
    from crowdserve.cli.zones import chosen_zones
    from crowdserve.console.links import ServiceAddress
    from crowdserve.live.adhoc import configuration_of_sources
    from crowdserve.live.configuration import read_configuration

    file = _configuration_file(sources)
    if divide is not None and file is None:
        raise SetupError("--divide is for the cameras of a FILE.yaml, which all watchers read")
    with Reloading(file) as reloading:
        if file is not None:
            configuration = read_configuration(file)
            reloading.remember(configuration.secrets.files)
        else:
            configuration = configuration_of_sources(sources, every, chosen_zones(zone, zones), history, metrics_port)
        cameras = len(configuration.site.cameras)
        if check:
            say(f"{printable(sources[0])}: {cameras} {'camera' if cameras == 1 else 'cameras'}, no fault found")
            return
        log_without_secrets(configuration)
        if ca_file is not None:
            os.environ[CA_FILE] = str(ca_file)  # for the cameras, too
        address, chosen = url or configuration.site.service, precision and precision.value
        printer = Printer(as_json)
        with (
            open_service(address, model, repository, threads, chosen, _ANSWER_SECONDS, ca_file) as client,
            dividing(divide, lease, context, cameras) as division,
            watching(
                configuration,
                client,
                ServiceAddress(
                    client.url, model or MODEL_NAME, read_token(SERVICE_TOKEN) if address else None, ca_file
                ),
                file=file,
                host=metrics_host,
                hosts=console_hosts,
                listener=printer.show,
                division=division,
                fleet=divide,
            ) as watcher,
        ):
            _run(watcher, reloading, file, printer)


def _configuration_file(sources: list[str]) -> Path | None:
    named = [source for source in sources if source.endswith((".yaml", ".yml")) and "://" not in source]
    if named and len(sources) > 1:
        raise SetupError(f"{printable(named[0])} is a configuration, which stands alone; write all cameras into it")
    return Path(named[0]) if named else None


def _run(watcher: "Watcher", reloading: "Reloading", file: Path | None, printer: "Printer") -> None:
    from crowdserve.cli.watching.reloading import change

    while not watcher.ended and not (printer.is_closed and not watcher.is_known_elsewhere):
        time.sleep(_LOOK_SECONDS)
        if file is not None and reloading.is_due():
            change(watcher, file, reloading)
