"""Output of `crowdserve count`: a few lines for one photo, a table for several, JSON lines for programs."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crowdserve.cli.photos import Selection
from crowdserve.client.service import PhotoCount
from crowdserve.terminal import printable


@dataclass(frozen=True, slots=True)
class PhotoReport:
    """One photo of a call: its count, or the reason why there is none.

    Attributes:
        photo: The photo's path, as given on the command line.
        result: The count; None if the photo failed.
        error: Why the photo failed; None if it was counted.
        overlay: File of the heat-map overlay; None if not written.
    """

    photo: Path
    result: PhotoCount | None = None
    error: str | None = None
    overlay: Path | None = None


def json_line(report: PhotoReport) -> str:
    """One JSON object, without a line break."""
    if report.result is None:
        return json.dumps({"photo": str(report.photo), "error": report.error})
    result = report.result
    fields: dict[str, Any] = {
        "photo": str(report.photo),
        "count": round(result.count, 3),
        "scene": result.scene,
        "scene_probability": round(result.scene_probability, 4),
        "scene_unsure": result.scene_unsure,
        "route": result.route,
        "counts": {name: round(people, 3) for name, people in result.counts.items()},
        "models": dict(result.models),
        "seconds": round(result.seconds, 3),
    }
    if result.zones:
        fields["zones"] = {name: round(people, 3) for name, people in result.zones.items()}
    return json.dumps(fields | ({"overlay": str(report.overlay)} if report.overlay else {}))


def print_reports(reports: Iterable[PhotoReport], console: Console) -> None:
    """Print the counts of the photos that have one: lines for one photo, a table for several."""
    reports = list(reports)
    counted = [(report, report.result) for report in reports if report.result]
    if len(reports) == 1:
        for report, result in counted:
            _print_lines(report, result, console)
    elif counted:
        console.print(_table(counted))


def _print_lines(report: PhotoReport, result: PhotoCount, console: Console) -> None:
    lines = {
        "scene": scene_text(result),
        "counters": ", ".join(f"{name} {people:.1f}" for name, people in result.counts.items()),
        **({"zones": zones_text(result)} if result.zones else {}),
        "models": models_text(result),
        "time": f"{result.seconds:.2f} s",
        **({"overlay": str(report.overlay)} if report.overlay else {}),
    }
    console.print(Text(f"{printable(report.photo)}: {people_text(result.count)}"), soft_wrap=True)
    for name, text in lines.items():
        console.print(Text(f"  {name:<9}{printable(text)}"), soft_wrap=True)


def _table(counted: Iterable[tuple[PhotoReport, PhotoCount]]) -> Table:
    rows = list(counted)
    with_zones = any(result.zones for _, result in rows)
    table = Table(box=None, pad_edge=False)
    for heading in ("photo", "people", *(("zones",) if with_zones else ()), "scene", "models", "seconds"):
        table.add_column(heading, justify="right" if heading in {"people", "seconds"} else "left", overflow="fold")
    for report, result in rows:
        zones = (zones_text(result),) if with_zones else ()
        cells = (str(report.photo), f"{result.count:.1f}", *zones, scene_text(result), models_text(result))
        table.add_row(*(Text(printable(cell)) for cell in (*cells, f"{result.seconds:.2f}")))
    return table


def summary_lines(reports: Iterable[PhotoReport], selection: Selection) -> list[str]:
    """What came of folders: how many people in how many photos, and every file that was not counted."""
    reports = list(reports)
    counts = [report.result.count for report in reports if report.result]
    failed = [(report.photo, report.error) for report in reports if report.error]
    numbers = [
        f"{_numbered(len(counts), 'photo')} counted, {sum(counts):,.1f} people",
        *([f"{len(failed)} not counted"] if failed else []),
        *([f"{_numbered(selection.others, 'other file')} passed over"] if selection.others else []),
    ]
    named = [*failed, *((found.path, found.reason) for found in selection.passed_over)]
    return ["; ".join(numbers), *(f"  {printable(path)}: {printable(reason)}" for path, reason in named)]


def _numbered(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def people_text(count: float) -> str:
    """A count as people read it: ``1 person``, ``1,204 people``."""
    return f"{count:,.0f} {'person' if round(count) == 1 else 'people'}"


def scene_text(result: PhotoCount) -> str:
    """The scene with its probability, whether that is unsure, and the route where that is another one."""
    taken = "" if result.route == result.scene else f", counted as {result.route}"
    unsure = ", unsure" if result.scene_unsure else ""
    return f"{result.scene} ({result.scene_probability:.0%}{unsure}){taken}"


def zones_text(result: PhotoCount) -> str:
    """Every zone with its people."""
    return ", ".join(f"{name} {people:.1f}" for name, people in result.zones.items())


def models_text(result: PhotoCount) -> str:
    """Every model that answered, with its version."""
    return ", ".join(f"{name} {version}" for name, version in result.models.items())
