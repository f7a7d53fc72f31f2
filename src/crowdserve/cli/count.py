"""`crowdserve count PHOTO…`: people per photo, as text or JSON, with an overlay on request."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crowdserve.cli.options import (
    EXIT_PHOTO_FAILED,
    CaFileOption,
    CounterOption,
    ModelOption,
    PrecisionOption,
    RepositoryOption,
    RouteOption,
    ThreadsOption,
    UrlOption,
    ZoneOption,
    ZonesOption,
    open_service,
    stdout_console,
)
from crowdserve.errors import CrowdServeError, SetupError
from crowdserve.terminal import printable, say

if TYPE_CHECKING:  # a command imports what it needs when it runs, so that --help is quick
    from collections.abc import Callable

    from crowdserve.cli.photos import Found, Selection
    from crowdserve.cli.report import PhotoReport
    from crowdserve.client.service import ServiceClient


def count(
    photos: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO…", help="Image files, folders with some, or patterns.", show_default=False),
    ],
    url: UrlOption = None,
    model: ModelOption = None,
    ca_file: CaFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per photo, one per line.")] = False,
    overlay: Annotated[
        Path | None, typer.Option(help="Write the heat-map overlay: a PNG file, or a folder for several photos.")
    ] = None,
    zone: ZoneOption = None,
    zones: ZonesOption = None,
    route: RouteOption = None,
    counter: CounterOption = None,
    repository: RepositoryOption = None,
    threads: ThreadsOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Count the people in photos, with a running service or one that is started for this call.

    A folder stands for all photos below it, without hidden files; at the end, a summary names what was not counted.
    """
    from crowdserve.cli.overlays import name_overlays
    from crowdserve.cli.photos import select_photos
    from crowdserve.cli.report import json_line, print_reports, summary_lines
    from crowdserve.cli.zones import chosen_zones

    selection = select_photos(photos)
    _check_not_empty(selection)
    choices: dict[str, Any] = {"route": route and route.value, "counter": counter and counter.value}
    choices["zones"] = chosen_zones(zone, zones)
    targets = iter(name_overlays(selection.photos, overlay))
    reports: list[PhotoReport] = []
    chosen = precision and precision.value
    service = open_service(url, model, repository, threads, chosen, ca_file=ca_file)
    with service if selection.photos else nullcontext() as client, _progress(selection.photos) as begin:
        for found in selection.meant:
            begin(found.path)
            report = _report(client, found, targets, choices)
            reports.append(report)
            if report.error and not selection.folders:
                say(f"{printable(report.photo)}: {printable(report.error)}", err=True)
            if as_json:
                typer.echo(json_line(report))
    if not as_json:
        print_reports(reports, stdout_console())
    if selection.folders:
        say("\n".join(summary_lines(reports, selection)), err=True)
    if any(report.error for report in reports):
        raise typer.Exit(EXIT_PHOTO_FAILED)


def _check_not_empty(selection: "Selection") -> None:
    """Fail if nothing was meant to be counted."""
    if selection.meant:
        return
    shown = ", ".join(map(printable, selection.folders))
    others = f", among {selection.others} other files" if selection.others else ""
    there = [f"{printable(each.path)}: {each.reason}" for each in selection.passed_over]
    raise SetupError("\n".join([f"no photos in {shown}{others}; name a folder with some", *there]))


@contextmanager
def _progress(photos: list[Path]) -> "Iterator[Callable[[Path], None]]":
    """Show on a terminal which photo is counted, and a bar where there are several; stdout is left alone."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    several = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) if len(photos) > 1 else ()
    columns = (SpinnerColumn(), *several, TextColumn("counting {task.description}", markup=False))
    quiet = not console.is_terminal
    with Progress(*columns, console=console, disable=quiet, transient=True, redirect_stdout=False) as bar:
        task, done = bar.add_task("", total=len(photos)), itertools.count()
        yield lambda photo: bar.update(task, description=printable(photo), completed=next(done))


def _report(
    client: "ServiceClient | None", found: "Found", targets: "Iterator[Path | None]", choices: dict[str, Any]
) -> "PhotoReport":
    from crowdserve.cli.report import PhotoReport

    if client is None or found.reason:
        return PhotoReport(found.path, error=found.reason)
    return _count_photo(client, found.path, next(targets), choices)


def _count_photo(client: "ServiceClient", photo: Path, target: Path | None, choices: dict[str, Any]) -> "PhotoReport":
    from crowdserve.cli.overlays import write_overlay
    from crowdserve.cli.report import PhotoReport

    try:
        result = client.count(photo.read_bytes(), overlay=target is not None, **choices)
        if target is not None:
            write_overlay(target, result.overlay)
    except SetupError:
        raise  # every other photo would fail too
    except (CrowdServeError, OSError) as err:
        return PhotoReport(photo, error=err.strerror or str(err) if isinstance(err, OSError) else str(err))
    return PhotoReport(photo, result, overlay=target)
