"""`crowdserve count PHOTO…`: people per photo, as text or JSON, with an overlay on request."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crowdserve.cli.options import (
    EXIT_PHOTO_FAILED,
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
    from crowdserve.cli.report import PhotoReport
    from crowdserve.client.service import ServiceClient


def count(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO…", help="Image files.", show_default=False)],
    url: UrlOption = None,
    model: ModelOption = None,
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
    """Count the people in photos, with a running service or one that is started for this call."""
    from rich.console import Console
    from rich.text import Text

    from crowdserve.cli.overlays import name_overlays
    from crowdserve.cli.report import json_line, print_reports
    from crowdserve.cli.zones import chosen_zones

    reports: list[PhotoReport] = []
    choices: dict[str, Any] = {"route": route and route.value, "counter": counter and counter.value}
    choices["zones"] = chosen_zones(zone, zones)
    progress = Console(stderr=True)
    targets = name_overlays(photos, overlay)
    with open_service(url, model, repository, threads, precision and precision.value) as client:
        for photo, target in zip(photos, targets, strict=True):
            doing = f"counting {printable(photo)} ({len(reports) + 1} of {len(photos)})"
            with progress.status(Text(doing)):
                report = _count_photo(client, photo, target, choices)
            reports.append(report)
            if report.error:
                say(f"{printable(photo)}: {printable(report.error)}", err=True)
            if as_json:
                typer.echo(json_line(report))
    if not as_json:
        print_reports(reports, stdout_console())
    if any(report.error for report in reports):
        raise typer.Exit(EXIT_PHOTO_FAILED)


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
