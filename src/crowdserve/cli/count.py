"""`crowdserve count PHOTO…`: people per photo, as text or JSON, with an overlay on request."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crowdserve.cli.options import (
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
from crowdserve.errors import CrowdServeError, SetupError

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
    route: RouteOption = None,
    counter: CounterOption = None,
    repository: RepositoryOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Count the people in photos, with a running service or one that is started for this call."""
    from rich.console import Console

    from crowdserve.cli.report import json_line, print_reports

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


def _overlay_paths(photos: list[Path], overlay: Path | None) -> list[Path | None]:
    """The file of each photo's overlay: the named file for one photo, `<folder>/<photo>.overlay.png` for several."""
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
    from crowdserve.cli.report import PhotoReport

    try:
        result = client.count(photo.read_bytes(), overlay=target is not None, **choices)
        if target is not None:
            target.write_bytes(result.overlay or b"")
    except SetupError:
        raise  # every other photo would fail too
    except (CrowdServeError, OSError) as err:
        return PhotoReport(photo, error=err.strerror or str(err) if isinstance(err, OSError) else str(err))
    return PhotoReport(photo, result, overlay=target)
