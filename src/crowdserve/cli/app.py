"""Entry point of the command line, see `crowdserve --help`.

Results go to stdout, everything else to stderr. Exit code 1: a photo was not counted; 2: the command could not run.
"""

import sys
from typing import Annotated

import typer

import crowdserve
from crowdserve.cli.bundle import bundle_app
from crowdserve.cli.count import count
from crowdserve.cli.evaluate import evaluate
from crowdserve.cli.models import models_app
from crowdserve.cli.repository import repository_app
from crowdserve.cli.rollout import rollout_app
from crowdserve.cli.up import up
from crowdserve.errors import CrowdServeError

EXIT_COMMAND_FAILED = 2

app = typer.Typer(
    name="crowdserve",
    help="Count the people in crowd photos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (up, count, evaluate):
    app.command()(command)
app.add_typer(repository_app, name="repository")
app.add_typer(models_app, name="models")
app.add_typer(bundle_app, name="bundle")
app.add_typer(rollout_app, name="rollout")


def main() -> None:
    """Run the command; an expected error is printed as one line."""
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
