"""Entry point of the command line, see `crowdserve --help`.

Results go to stdout, everything else to stderr. Exit code 1: a photo was not counted; 2: the command could not run.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import crowdserve
from crowdserve.cli.bundle import bundle_app
from crowdserve.cli.console import console
from crowdserve.cli.count import count
from crowdserve.cli.evaluate import evaluate
from crowdserve.cli.history import history_app
from crowdserve.cli.interruption import cleaning_up
from crowdserve.cli.models import models_app
from crowdserve.cli.plan import plan
from crowdserve.cli.repository import repository_app
from crowdserve.cli.rollout import rollout_app
from crowdserve.cli.up import up
from crowdserve.cli.watch import watch
from crowdserve.errors import CrowdServeError
from crowdserve.terminal import printable_lines

EXIT_COMMAND_FAILED = 2


class Commands(TyperGroup):
    """The commands; an argument that one of them does not take is quoted without what a terminal would obey."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options before the command."""
        with _quoting_safely():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Read the rest and run the command."""
        with _quoting_safely():
            return super().invoke(ctx)


@contextmanager
def _quoting_safely() -> Iterator[None]:
    try:
        yield
    except Exception as err:
        if hasattr(err, "format_message"):  # of a wrong argument
            message = printable_lines(err.format_message())
            vars(err)["format_message"] = lambda: message
        raise


app = typer.Typer(
    cls=Commands,
    name="crowdserve",
    help="Count the people in crowd photos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (up, count, evaluate, watch, console, plan):
    app.command()(command)
app.add_typer(history_app, name="history")
app.add_typer(repository_app, name="repository")
app.add_typer(models_app, name="models")
app.add_typer(bundle_app, name="bundle")
app.add_typer(rollout_app, name="rollout")


def main() -> None:
    """Run the command; an expected error is printed without a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # whatever the terminal's encoding lacks is escaped, as on stderr
        sys.stdout.reconfigure(errors="backslashreplace")
    with cleaning_up():
        try:
            app()
        except CrowdServeError as err:
            _print_error(err)
            sys.exit(EXIT_COMMAND_FAILED)


def _print_error(err: CrowdServeError) -> None:
    """Print an error; its later lines are indented, so that none of them passes for a message of its own."""
    first, *rest = printable_lines(err).split("\n")
    print("\n  ".join([f"crowdserve: {first}", *rest]), file=sys.stderr)


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
