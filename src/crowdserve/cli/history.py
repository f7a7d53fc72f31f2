"""`crowdserve history export FILE`: the counts of a history as CSV or Parquet."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from crowdserve.cli.watching.packages import require_packages
from crowdserve.errors import SetupError, quoted
from crowdserve.terminal import printable, say

history_app = typer.Typer(help="The history that crowdserve watch keeps.", no_args_is_help=True)


@history_app.callback()
def _options() -> None:
    pass


@history_app.command()
def export(
    target: Annotated[str, typer.Argument(metavar="FILE", help="A .csv or .parquet file, or - for CSV.")],
    history: Annotated[
        str, typer.Option(envvar="CROWDSERVE_HISTORY", help="sqlite:///FILE or postgresql+psycopg://…")
    ] = "sqlite:///crowdserve-history.db",
    camera: Annotated[str | None, typer.Option(help="Only of this camera.")] = None,
    since: Annotated[str | None, typer.Option(help="From this moment on, UTC: 2026-05-01T18:00.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this day or moment, UTC.")] = None,
) -> None:
    """Write the counts of a history to a file, a row for each zone of each count."""
    require_packages(("sqlalchemy",))
    from crowdserve.live.history.export import write_csv, write_parquet
    from crowdserve.live.history.store import HistoryStore

    _check_exists(history)
    store = HistoryStore(history, read_only=True)
    try:
        rows = store.counts(camera=camera, since=_moment(since), until=_moment(until))
        if target == "-":
            write_csv(rows, sys.stdout)
        elif target.endswith(".parquet"):
            say(f"{printable(target)}: {write_parquet(rows, Path(target)):,} rows", err=True)
        elif target.endswith(".csv"):
            with open(target, "w", newline="", encoding="utf-8") as stream:
                say(f"{printable(target)}: {write_csv(rows, stream):,} rows", err=True)
        else:
            raise SetupError(f"FILE is {quoted(target)}; expected a name that ends with .csv or .parquet, or -")
    except OSError as err:
        raise SetupError(f"{printable(target)} cannot be written: {err.strerror}") from err
    finally:
        store.close()


def _check_exists(url: str) -> None:
    """An SQLite file that is missing would be made, empty."""
    path = url.removeprefix("sqlite:///")
    if path != url and not Path(path).is_file():
        raise SetupError(f"there is no history {printable(path)}; name the one of the watcher with --history")


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as err:
        raise SetupError(f"{quoted(text)} is no day or moment; expected one such as 2026-05-01T18:00") from err
    return found.replace(tzinfo=found.tzinfo or UTC).timestamp()
