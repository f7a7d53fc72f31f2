"""`crowdserve evaluate DATASET…`: errors of the service's counts on labelled photos."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    open_service,
    stdout_console,
)
from crowdserve.errors import CrowdServeError
from crowdserve.terminal import printable, say

if TYPE_CHECKING:  # a command imports what it needs when it runs, so that --help is quick
    from crowdserve.client.service import ServiceClient
    from crowdserve.evaluation.run import Evaluation, Outcome

EXIT_INTERRUPTED = 130
MAX_CONCURRENCY = 32


def evaluate(
    datasets: Annotated[
        list[Path], typer.Argument(metavar="DATASET…", help="Folders of labelled photos.", show_default=False)
    ],
    url: UrlOption = None,
    model: ModelOption = None,
    ca_file: CaFileOption = None,
    output: Annotated[Path, typer.Option(help="Folder of the results; a second run continues in it.")] = Path(
        "evaluation"
    ),
    subset: Annotated[str | None, typer.Option(help="The data set's own part or half: test, A, A/test, val …")] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, test or validate of this project's own division of training halves, 80/10/10."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Largest number of photos, drawn from all of them.")] = None,
    route: RouteOption = None,
    counter: CounterOption = None,
    every_route: Annotated[
        bool, typer.Option("--every-route", help="Also count by each route alone, and compare ways of routing.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=MAX_CONCURRENCY, help="Photos counted at a time.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead of tables.")] = False,
    repository: RepositoryOption = None,
    threads: ThreadsOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Compare the counts of labelled photos with their labels: MAE, RMSE, MAPE, bias, a CSV file and a scatter plot."""
    from crowdserve.evaluation.api import Job
    from crowdserve.evaluation.counting import Choices

    choices = Choices(route and route.value, counter and counter.value, every_route)
    job = Job(datasets, output, choices, subset=subset, split=split, limit=limit)
    evaluation = job.open()
    chosen = precision and precision.value
    with open_service(url, model, repository, threads, chosen, ca_file=ca_file) as client:
        outcome = _count(evaluation, client, concurrency)
    summary = job.close(outcome)
    _report(outcome, output, json.dumps(summary) if as_json else None)
    if outcome.failures:
        raise typer.Exit(EXIT_PHOTO_FAILED)


def _count(evaluation: "Evaluation", client: "ServiceClient", concurrency: int) -> "Outcome":
    """Count the remaining photos under a progress bar; a stopped run prints its progress."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    from crowdserve.evaluation.counting import Failure
    from crowdserve.evaluation.predictions import Prediction

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    total, earlier = len(evaluation.photos), len(evaluation.photos) - len(evaluation.left)
    if earlier:
        typer.echo(f"{earlier} of {total} photos were counted by earlier runs", err=True)
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("counting", total=total, completed=earlier)

        def watch(result: Prediction | Failure) -> None:
            if isinstance(result, Failure):
                progress.console.print(
                    Text(f"{printable(result.image)}: {printable(result.error)}", style="red"), soft_wrap=True
                )
            progress.advance(task)

        try:
            return evaluation.count(client, concurrency=concurrency, watch=watch)
        except (KeyboardInterrupt, CrowdServeError) as err:
            done = int(progress.tasks[0].completed)
            progress.console.print(f"stopped after {done} of {total} photos; the counts so far are kept")
            if isinstance(err, KeyboardInterrupt):
                raise typer.Exit(EXIT_INTERRUPTED) from err
            raise


def _report(outcome: "Outcome", output: Path, summary: str | None) -> None:
    from crowdserve.evaluation.report import print_outcome
    from crowdserve.evaluation.run import PREDICTIONS_FILE, SCATTER_FILE, SUMMARY_FILE

    files = [PREDICTIONS_FILE, SUMMARY_FILE, *([SCATTER_FILE] if outcome.predictions else [])]
    if summary is not None:
        typer.echo(summary)
    else:
        print_outcome(outcome, stdout_console())
    say(f"{printable(output)}: {', '.join(files)}", err=True)
