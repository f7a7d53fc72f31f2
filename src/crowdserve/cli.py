"""The command line, see `crowdserve --help`.

Results go to stdout, everything else to stderr. Exit code 1: a photo was not counted; 2: the command could not run.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

import crowdserve
from crowdserve.bundle.commands import bundle_app
from crowdserve.errors import CrowdServeError, SetupError
from crowdserve.evaluation.command import evaluate
from crowdserve.rollout.command import rollout_app
from crowdserve.service_options import (
    DEFAULT_REPOSITORY,
    EXIT_PHOTO_FAILED,
    CounterOption,
    ModelOption,
    RepositoryOption,
    RouteOption,
    ThreadsOption,
    UrlOption,
    open_service,
    stdout_console,
)
from crowdserve.triton.config import PROFILES

if TYPE_CHECKING:  # a command imports what it needs when it runs, so that --help is quick
    from crowdserve.count_report import PhotoReport
    from crowdserve.service_client import ServiceClient

EXIT_COMMAND_FAILED = 2

ProfileName = Enum("ProfileName", {name: name for name in PROFILES}, type=str)  # type: ignore[misc]

app = typer.Typer(
    name="crowdserve",
    help="Count the people in crowd photos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
repository_app = typer.Typer(help="The Triton model repository.", no_args_is_help=True)
app.add_typer(repository_app, name="repository")
app.add_typer(bundle_app, name="bundle")
app.add_typer(rollout_app, name="rollout")


def main() -> None:
    """Entry point: runs the command, turns an expected error into one line."""
    try:
        app()
    except CrowdServeError as err:
        print(f"crowdserve: {err}", file=sys.stderr)
        sys.exit(EXIT_COMMAND_FAILED)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crowdserve {crowdserve.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="REST port; 8080 or else a free one if left out.")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="gRPC port; 8081 or else a free one if left out.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every one.")] = "127.0.0.1",
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    threads: ThreadsOption = None,
) -> None:
    """Start the service on this machine: a real Triton and the transformer. Ctrl-C stops it."""
    from crowdserve.processes import preferred_port
    from crowdserve.service import EmbeddedService

    with _ending_on_signals():
        ports = port or preferred_port(host, 8080), grpc_port or preferred_port(host, 8081)
        typer.echo("starting Triton and the transformer …", err=True)
        with EmbeddedService(repository, host=host, http_port=ports[0], grpc_port=ports[1], threads=threads) as service:
            typer.echo(_welcome(service.http_url, service.grpc_url))
            sys.stdout.flush()
            service.watch()


def _welcome(http_url: str, grpc_url: str) -> str:
    return f"""\
REST     {http_url}/v2/models/crowdserve
gRPC     {grpc_url}
metrics  {http_url}/metrics

Count the people in photo.jpg:

  crowdserve count photo.jpg --url {http_url}

or, without this package:

  (printf '{{"inputs":[{{"name":"image","datatype":"BYTES","shape":[1],"data":["'; \\
   base64 -w0 photo.jpg; printf '"]}}]}}') \\
    | curl -s {http_url}/v2/models/crowdserve/infer -H 'Content-Type: application/json' --data-binary @-

Ctrl-C stops the service."""


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Leave the block in order on SIGINT and SIGTERM; a second signal does not disturb the clean-up."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)


@app.command()
def count(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO…", help="Image files.", show_default=False)],
    url: UrlOption = None,
    model: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per photo, one per line.")] = False,
    overlay: Annotated[
        Path | None, typer.Option(help="Write the heat-map overlay: a PNG file, or a folder for several photos.")
    ] = None,
    route: RouteOption = None,
    counter: CounterOption = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    threads: ThreadsOption = None,
) -> None:
    """Count the people in photos, with a running service or one that is started for this call."""
    from rich.console import Console

    from crowdserve.count_report import json_line, print_reports

    reports: list[PhotoReport] = []
    choices = {"route": route and route.value, "counter": counter and counter.value}
    progress = Console(stderr=True)
    with open_service(url, model, repository, threads) as client:
        for photo, target in zip(photos, _overlay_paths(photos, overlay), strict=True):
            with progress.status(f"counting {photo} ({len(reports) + 1} of {len(photos)})"):
                report = _count_photo(client, photo, target, choices)
            reports.append(report)
            if report.error:
                typer.echo(f"{photo}: {report.error}", err=True)
            if as_json:
                typer.echo(json_line(report))
    if not as_json:
        print_reports(reports, stdout_console())
    if any(report.error for report in reports):
        raise typer.Exit(EXIT_PHOTO_FAILED)


app.command()(evaluate)


def _overlay_paths(photos: list[Path], overlay: Path | None) -> list[Path | None]:
    """Where each photo's overlay goes: the named file for one photo, `<folder>/<photo>.overlay.png` for several."""
    if overlay is None:
        return [None] * len(photos)
    if len(photos) == 1 and not overlay.is_dir():
        return [overlay]
    names = [photo.stem for photo in photos]
    unique = [f"{name}-{i}" if names.count(name) > 1 else name for i, name in enumerate(names, start=1)]
    try:
        overlay.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise SetupError(f"--overlay {overlay} must be a folder for {len(photos)} photos: {err.strerror}") from err
    return [overlay / f"{name}.overlay.png" for name in unique]


def _count_photo(
    client: "ServiceClient", photo: Path, target: Path | None, choices: dict[str, str | None]
) -> "PhotoReport":
    from crowdserve.count_report import PhotoReport

    try:
        result = client.count(photo.read_bytes(), overlay=target is not None, **choices)
        if target is not None:
            target.write_bytes(result.overlay or b"")
    except SetupError:
        raise  # no other photo would fare better
    except (CrowdServeError, OSError) as err:
        return PhotoReport(photo, error=err.strerror or str(err) if isinstance(err, OSError) else str(err))
    return PhotoReport(photo, result, overlay=target)


@repository_app.command("render")
def render(
    target: Annotated[Path, typer.Option(help="A new folder; or the source, to write its gpu configs again.")],
    profile: Annotated[ProfileName, typer.Option(help="Where the models will run.")],
    source: Annotated[Path, typer.Option(help="Repository that holds the models.")] = DEFAULT_REPOSITORY,
) -> None:
    """Write a profile of the model repository."""
    from crowdserve.triton.repository import render_repository

    render_repository(source, target, profile.value)
    typer.echo(f"{target}: {profile.value} profile", err=True)


@repository_app.command("check")
def check(
    repository: Annotated[Path, typer.Option(help="The committed repository.")] = DEFAULT_REPOSITORY,
) -> None:
    """Fail if the generated files of the repository are not what the model cards give."""
    from crowdserve.triton.repository import check_repository

    check_repository(repository)
    typer.echo(f"{repository}: up to date", err=True)


@repository_app.command("tables")
def tables(
    pages: Annotated[list[Path], typer.Argument(metavar="PAGE…", help="Markdown files with marks for tables.")],
    repository: Annotated[Path, typer.Option(help="The committed repository.")] = DEFAULT_REPOSITORY,
    only_check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a table is out of date.")] = False,
) -> None:
    """Write the tables about the models in Markdown pages anew."""
    from crowdserve.tables import write_tables

    for page in pages:
        write_tables(page, repository, only_check=only_check)
        typer.echo(f"{page}: tables up to date", err=True)


@repository_app.command("keep-evaluation")
def keep_evaluation(
    summary: Annotated[Path, typer.Argument(help="summary.json of crowdserve evaluate --route … --counter ….")],
    repository: Annotated[Path, typer.Option(help="The committed repository.")] = DEFAULT_REPOSITORY,
) -> None:
    """Keep what crowdserve evaluate found for one network beside its model file, for the tables."""
    from crowdserve import model_records

    typer.echo(f"wrote {model_records.keep_evaluation(summary, repository)}", err=True)


if __name__ == "__main__":
    main()
