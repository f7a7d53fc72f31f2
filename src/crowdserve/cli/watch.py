"""`crowdserve watch cameras.yaml`, or `crowdserve watch rtsp://…`: counts of cameras, until Ctrl-C."""

import importlib.util
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crowdserve.cards import MODEL_NAME
from crowdserve.cli.options import (
    CaFileOption,
    ModelOption,
    PrecisionOption,
    RepositoryOption,
    ThreadsOption,
    UrlOption,
    ZoneOption,
    ZonesOption,
)
from crowdserve.client.tokens import SERVICE_TOKEN, read_token
from crowdserve.errors import SetupError
from crowdserve.terminal import printable, say

if TYPE_CHECKING:  # a command imports what it needs when it runs, so that --help is quick
    from crowdserve.live.configuration import Configuration
    from crowdserve.live.observations import Alert, Reading
    from crowdserve.live.watcher import Watcher

log = logging.getLogger(__name__)

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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line for each reading.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Check the configuration and end.")] = False,
    repository: RepositoryOption = None,
    threads: ThreadsOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Count the people in cameras' pictures again and again, and say when a zone is too full.

    SIGHUP reads the configuration again.
    """
    require_packages()
    from crowdserve.cli.options import open_service
    from crowdserve.cli.watched_site import log_without_secrets, watching
    from crowdserve.cli.zones import chosen_zones
    from crowdserve.console.links import ServiceAddress
    from crowdserve.live.adhoc import configuration_of_sources

    file = _configuration_file(sources)
    if file is not None:
        configuration = _read(file)
    else:
        configuration = configuration_of_sources(sources, every, chosen_zones(zone, zones), history, metrics_port)
    if check:
        cameras = len(configuration.site.cameras)
        say(f"{printable(sources[0])}: {cameras} {'camera' if cameras == 1 else 'cameras'}, no fault found")
        return
    log_without_secrets(configuration)
    address, chosen = url or configuration.site.service, precision and precision.value
    with (
        open_service(address, model, repository, threads, chosen, _ANSWER_SECONDS, ca_file) as client,
        watching(
            configuration,
            client,
            ServiceAddress(client.url, model or MODEL_NAME, read_token(SERVICE_TOKEN) if address else None, ca_file),
            file=file,
            listener=_printer(as_json),
        ) as watcher,
    ):
        _run(watcher, file)


def require_packages(
    names: tuple[str, ...] = ("av", "pydantic", "ruamel", "sqlalchemy", "starlette", "uvicorn", "yaml"),
) -> None:
    """Check that the packages of the extra `live` are there.

    Raises:
        SetupError: If one is missing.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(f"watching cameras needs {', '.join(missing)}; install crowdserve[live]")


def _configuration_file(sources: list[str]) -> Path | None:
    named = [source for source in sources if source.endswith((".yaml", ".yml")) and "://" not in source]
    if named and len(sources) > 1:
        raise SetupError(f"{printable(named[0])} is a configuration, which stands alone; write all cameras into it")
    return Path(named[0]) if named else None


def _read(file: Path) -> "Configuration":
    from crowdserve.live.configuration import read_configuration

    return read_configuration(file)


def _run(watcher: "Watcher", file: Path | None) -> None:
    with _hang_ups() as hung_up:
        while not watcher.ended:
            time.sleep(_LOOK_SECONDS)
            if file is not None and hung_up():
                _change(watcher, file)


def _change(watcher: "Watcher", file: Path) -> None:
    try:
        watcher.change(_read(file))
    except SetupError as err:
        log.error("the configuration stays as it was: %s", err)


@contextmanager
def _hang_ups() -> Iterator[Callable[[], bool]]:
    """Yield a question: whether SIGHUP has come since it was last asked."""
    came: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: came.append(number))

    def asked() -> bool:
        some = bool(came)
        came.clear()
        return some

    try:
        yield asked
    finally:
        signal.signal(signal.SIGHUP, before)


def _printer(as_json: bool) -> "Callable[[Reading, list[Alert]], None]":
    from crowdserve.live.observations import COUNTED
    from crowdserve.live.outputs.lines import json_lines, text_lines

    turn = threading.Lock()
    last: dict[str, str] = {}

    def show(reading: "Reading", alerts: "list[Alert]") -> None:
        before, last[reading.camera] = last.get(reading.camera), reading.status
        if not as_json and reading.status == before != COUNTED and not alerts:
            return  # people need not be told again and again
        lines = json_lines(reading, alerts) if as_json else map(printable, text_lines(reading, alerts))
        with turn:  # cameras have threads of their own, and print writes a line and its end apart
            print("\n".join(lines), flush=True)

    return show
