"""One evaluation in its output folder: continues earlier runs, and refuses to mix different ones."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crowdserve.client.service import ServiceClient
from crowdserve.errors import SetupError
from crowdserve.evaluation.counting import Choices, Failure, check_models, count_photos
from crowdserve.evaluation.photos import LabelledPhoto
from crowdserve.evaluation.predictions import Prediction, PredictionsFile

PREDICTIONS_FILE = "predictions.csv"
SUMMARY_FILE = "summary.json"
SCATTER_FILE = "scatter.png"

SAME_COUNT_SHARE = 0.01
SAME_COUNT_PEOPLE = 0.5
"""Largest difference from the same service's earlier count, for instance on another machine: the sum of both."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results for the chosen photos.

    Attributes:
        predictions: Predictions in the order of the photos, earlier runs included.
        failures: Photos that were not counted.
        models: Version of every model that answered.
    """

    predictions: list[Prediction]
    failures: list[Failure]
    models: Mapping[str, str]


class Evaluation:
    """An output folder, opened for one run.

    Attributes:
        photos: The chosen photos.
        left: Photos that no earlier run counted.
    """

    def __init__(self, folder: Path, photos: Sequence[LabelledPhoto], choices: Choices) -> None:
        """Read the results of earlier runs in the folder.

        Raises:
            SetupError: If they made other choices, the labels have changed since, or a file there is not theirs.
        """
        self.folder, self.photos = folder, photos
        self._choices = choices
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise SetupError(f"--output {folder} must be a folder to write to: {err.strerror}") from err
        self._file = PredictionsFile(folder / PREDICTIONS_FILE)
        self._check_files()
        self._models: dict[str, str] = {}
        for row in self._file.earlier.values():
            check_models(self._models, row.models)
        if self._file.earlier:
            self._check_choices()
            self._check_labels()
        self.left = [photo for photo in photos if photo.image not in self._file.earlier]

    def count(
        self, client: ServiceClient, *, concurrency: int = 1, watch: Callable[[Prediction | Failure], None]
    ) -> Outcome:
        """Count the remaining photos.

        Args:
            client: Client of the service.
            concurrency: Number of photos counted at a time.
            watch: Function called with each answer.

        Raises:
            SetupError: If the service is gone, or not the one that counted the photos before.
        """
        self._check_service(client)
        if not self._file.earlier:
            write_summary(self.folder, {"choices": dataclasses.asdict(self._choices)})
        found, failures = dict(self._file.earlier), []
        answers = contextlib.closing(count_photos(client, self.left, self._choices, concurrency))
        with self._file as file, answers as results:
            for result in results:
                if isinstance(result, Failure):
                    failures.append(result)
                else:
                    check_models(self._models, result.models)
                    file.append(result)
                    found[result.image] = result
                watch(result)
        predictions = [found[photo.image] for photo in self.photos if photo.image in found]
        return Outcome(predictions, failures, self._models)

    def _check_files(self) -> None:
        """Check that no result takes the place of a photo, or of what no earlier run wrote."""
        there = [path for name in (SUMMARY_FILE, SCATTER_FILE) if (path := self.folder / name).exists()]
        ours = self._file.earlier or _has_choices(self.folder / SUMMARY_FILE)
        for path in there:
            if not ours or any(path.samefile(photo.image) for photo in self.photos if Path(photo.image).exists()):
                raise SetupError(f"{path} is there, and no earlier run wrote it; name another --output")

    def _check_choices(self) -> None:
        try:
            earlier = json.loads((self.folder / SUMMARY_FILE).read_text())["choices"]
        except (OSError, ValueError, LookupError, TypeError) as err:
            raise SetupError(
                f"{self.folder / PREDICTIONS_FILE} has counts, but no {SUMMARY_FILE} beside it says by which "
                "options; name another --output"
            ) from err
        now = dataclasses.asdict(self._choices)
        if earlier != now:
            changed = [
                f"{name} {_reported(earlier.get(name))} → {_reported(now[name])}"
                for name in now
                if now[name] != earlier.get(name)
            ]
            raise SetupError(
                f"{self.folder} was begun with other options ({', '.join(changed)}); repeat them, or name another "
                "--output"
            )

    def _check_labels(self) -> None:
        for photo in self.photos:
            row = self._file.earlier.get(photo.image)
            if row is not None and row.true_count != photo.sample.count:
                raise SetupError(
                    f"{photo.image} had {row.true_count} labelled heads when it was counted and has "
                    f"{photo.sample.count} now; name another --output"
                )

    def _check_service(self, client: ServiceClient) -> None:
        """Count one earlier photo of each route again, to detect other models or settings."""
        for row in _one_per_route(self._file.earlier.values()):
            answer = client.count(
                Path(row.image).read_bytes(), route=self._choices.route, counter=self._choices.counter
            )
            check_models(self._models, answer.models)
            allowed = SAME_COUNT_PEOPLE + SAME_COUNT_SHARE * abs(row.predicted_count)
            if answer.route != row.route or abs(answer.count - row.predicted_count) > allowed:
                raise SetupError(
                    f"the service counts {answer.count:,.1f} people in {row.key} (route {answer.route}) where it "
                    f"counted {row.predicted_count:,.1f} before (route {row.route}): other weights, other settings "
                    "or a changed photo; name another --output"
                )


def _has_choices(summary: Path) -> bool:
    try:
        return "choices" in json.loads(summary.read_bytes())
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write `summary.json` in one step, so that a crash leaves the old one or the new one."""
    unfinished = folder / f"{SUMMARY_FILE}.unfinished"
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")  # file names need not be UTF-8
    os.replace(unfinished, folder / SUMMARY_FILE)


def _one_per_route(rows: Iterable[Prediction]) -> list[Prediction]:
    return list({row.route: row for row in rows if Path(row.image).is_file()}.values())


def _reported(value: object) -> str:
    return "default" if value is None else str(value)
