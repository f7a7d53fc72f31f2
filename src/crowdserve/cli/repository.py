"""`crowdserve repository`: profiles, checks and generated pages of the Triton model repository."""

from pathlib import Path
from typing import Annotated

import typer

from crowdserve.cli.options import DEFAULT_REPOSITORY, ProfileOption
from crowdserve.terminal import printable, say

repository_app = typer.Typer(help="The Triton model repository.", no_args_is_help=True)


@repository_app.command("render")
def render(
    target: Annotated[Path, typer.Option(help="A new folder; or the source, to write its gpu configs again.")],
    profile: ProfileOption,
    source: Annotated[Path, typer.Option(help="Repository that holds the models.")] = DEFAULT_REPOSITORY,
) -> None:
    """Write a profile of the model repository."""
    from crowdserve.triton.repository import render_repository

    render_repository(source, target, profile.value)
    say(f"{printable(target)}: {profile.value} profile", err=True)


@repository_app.command("check")
def check(
    repository: Annotated[Path, typer.Option(help="The committed repository.")] = DEFAULT_REPOSITORY,
) -> None:
    """Fail if generated files differ from the model cards, or records and classifiers from the models beside them."""
    from crowdserve.bundle.assembly import check_classifiers
    from crowdserve.triton.repository import check_repository

    check_repository(repository)
    check_classifiers(repository)
    say(f"{printable(repository)}: up to date", err=True)


@repository_app.command("tables")
def tables(
    pages: Annotated[list[Path], typer.Argument(metavar="PAGE…", help="Markdown files with marks for tables.")],
    repository: Annotated[Path, typer.Option(help="The committed repository.")] = DEFAULT_REPOSITORY,
    only_check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a table is out of date.")] = False,
) -> None:
    """Regenerate the tables about the models in Markdown pages."""
    from crowdserve.pages.models import write_tables

    for page in pages:
        write_tables(page, repository, only_check=only_check)
        say(f"{printable(page)}: tables up to date", err=True)


@repository_app.command("keep-evaluation")
def keep_evaluation(
    summary: Annotated[Path, typer.Argument(help="summary.json of crowdserve evaluate --route … --counter ….")],
    repository: Annotated[Path, typer.Option(help="The committed repository.")] = DEFAULT_REPOSITORY,
) -> None:
    """Keep what crowdserve evaluate found for one network beside its model file, for the tables."""
    from crowdserve.cards import records

    say(f"wrote {printable(records.keep_evaluation(summary, repository))}", err=True)
