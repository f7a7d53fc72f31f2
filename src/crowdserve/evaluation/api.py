"""`crowdserve evaluate` as a function, for other programs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crowdserve.client.service import ServiceClient
from crowdserve.evaluation.counting import Choices, Failure
from crowdserve.evaluation.photos import choose_photos
from crowdserve.evaluation.predictions import Prediction
from crowdserve.evaluation.report import summary_of
from crowdserve.evaluation.run import SCATTER_FILE, Evaluation, Outcome, write_summary
from crowdserve.evaluation.scatter import check_matplotlib, draw_scatter

Watcher = Callable[[Prediction | Failure], None]
"""Function called with each answer."""


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation.

    Attributes:
        datasets: Folders of labelled photos.
        output: Folder of the results; a second run continues in it.
        choices: Parameters of the requests to the service.
        subset: The data sets' own part or half, such as test or A/test; all of them if None.
        split: train, test or validate of this project's division of training halves; no division if None.
        limit: Largest number of photos, drawn from all of them; all if None.
    """

    datasets: list[Path]
    output: Path
    choices: Choices = field(default_factory=Choices)
    subset: str | None = None
    split: str | None = None
    limit: int | None = None

    def open(self) -> Evaluation:
        """Choose the photos and find those that earlier runs in the output folder have not counted.

        Raises:
            SetupError: If matplotlib is missing, or earlier runs made other choices.
            DatasetError: If there are no such photos.
        """
        check_matplotlib()
        photos = choose_photos(self.datasets, subset=self.subset, split=self.split, limit=self.limit)
        return Evaluation(self.output, photos, self.choices)

    def close(self, outcome: Outcome) -> dict[str, Any]:
        """Write summary.json and scatter.png; returns the summary."""
        selection = {
            "datasets": list(map(str, self.datasets)),
            "subset": self.subset,
            "split": self.split,
            "limit": self.limit,
        }
        summary = summary_of(outcome, self.choices, selection)
        write_summary(self.output, summary)
        if outcome.predictions:
            draw_scatter(outcome.predictions, self.output / SCATTER_FILE)
        return summary


def evaluate(job: Job, client: ServiceClient, *, concurrency: int = 1, watch: Watcher = lambda result: None) -> Outcome:
    """Count the photos of a job with a running service and write the results.

    Args:
        job: The evaluation.
        client: Client of the service.
        concurrency: Number of photos counted at a time.
        watch: Function called with each answer.

    Raises:
        CrowdServeError: An error that stops the evaluation; the counts so far are kept.
    """
    outcome = job.open().count(client, concurrency=concurrency, watch=watch)
    job.close(outcome)
    return outcome
