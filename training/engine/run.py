"""The folder of a training run: a log of figures, learning curves, `meta.json`, and the checks for resuming it."""

import dataclasses
import json
import math
import os
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from crowdserve.cards.records import META_FILE
from crowdserve.errors import WeightsError
from crowdserve.evaluation.metrics import count_errors
from training.data.crop_config import current_names
from training.data.photos import Photos


class RunFolder:
    """A checkpoint folder: `log.jsonl`, `curves.png`, `meta.json`, and the files that the training loop saves there."""

    def __init__(self, folder: Path, start_from: Path | None = None) -> None:
        """Open the folder of a run, which need not exist yet; the clocks of earlier sessions of the run are added up.

        Args:
            folder: The run's checkpoint folder.
            start_from: Checkpoint folder of a finished run, or version folder of a model, whose weights this run starts
                from.

        Raises:
            WeightsError: If `start_from` is neither.
        """
        self.folder, self.start_from, self.started_from = folder, start_from, read_earlier(start_from)
        self._log = folder / "log.jsonl"
        last = self.records()[-1:]
        self._earlier_wall = last[0]["wall_seconds"] if last else 0.0
        self._earlier_cpu = last[0]["cpu_seconds"] if last else 0.0
        self._wall, self._cpu = time.monotonic(), time.process_time()

    @classmethod
    def begin(cls, folder: Path, recipe: Any, normalisation: str, start_from: Path | None) -> "RunFolder":
        """Open or begin a run, and report what is wrong with it before any long work.

        Args:
            folder: The run's checkpoint folder.
            recipe: The recipe of the run, a dataclass.
            normalisation: Key of `NORMALISATIONS` that the run trains with.
            start_from: The start of the run, see the constructor.

        Raises:
            WeightsError: If the folder's run has another recipe, or `start_from` is no network to start from.
        """
        run = cls(folder, start_from)
        run.check_recipe(recipe)
        check_start(run.started_from, normalisation)
        return run

    def check_recipe(self, recipe: Any) -> None:
        """Check that a resumed run has the recipe that it began with.

        `steps` may change: the rest of the run then follows the new length.

        Args:
            recipe: The recipe of the resumed run, a dataclass.

        Raises:
            WeightsError: If the folder's run has another recipe.
        """
        path = self.folder / META_FILE
        if path.exists():
            check_same(self.folder, current_names(json.loads(path.read_text())["recipe"]), recorded(recipe), "steps")

    def clocks(self) -> dict[str, float]:
        """Wall-clock and processor seconds of the whole run, over all its sessions."""
        return {
            "wall_seconds": round(self._earlier_wall + time.monotonic() - self._wall, 1),
            "cpu_seconds": round(self._earlier_cpu + time.process_time() - self._cpu, 1),
        }

    def records(self) -> list[dict[str, Any]]:
        """Every logged record, oldest first; for a step that was repeated after a stop, the last one."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return list({record["step"]: record for record in map(json.loads, lines)}.values())

    def is_best(self, step: int, mae: float) -> bool:
        """Whether no earlier step had a smaller validation error."""
        return mae <= min((r["mae"] for r in self.records() if r["step"] < step), default=math.inf)

    def best(self) -> dict[str, Any]:
        """The record of the step whose weights were kept: the last of equally good ones."""
        return min(reversed(self.records()), key=lambda record: float(record["mae"]))

    def record(self, **figures: float) -> None:
        """Append one record with the clocks, and redraw the curves."""
        with self._log.open("a") as log:
            log.write(json.dumps({**figures, **self.clocks()}) + "\n")
        draw_curves(self.records(), self.folder / "curves.png")

    def write_meta(self, meta: Mapping[str, Any]) -> None:
        """Write `meta.json`, completed by the start of the run, the machine and the time spent."""
        machine = {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
        stamp = {**self.clocks(), "machine": machine, "finished": datetime.now(UTC).strftime("%Y-%m-%d")}
        record = {**meta, "started_from": self.started_from, **stamp}
        (self.folder / META_FILE).write_text(json.dumps(record, indent=2) + "\n")


def check_same(folder: Path, began: Mapping[str, Any], now: Mapping[str, Any], length: str) -> None:
    """Check that a resumed run is the one that its folder holds.

    Args:
        folder: The run's checkpoint folder.
        began: The recipe that the run began with; fields that it lacks may have any value.
        now: The recipe of the resumed run.
        length: The field that may change.

    Raises:
        WeightsError: If another field changed.
    """
    changed = [
        f"{name} {began[name]!r} → {value!r}"
        for name, value in json.loads(json.dumps(now)).items()
        if name != length and name in began and began[name] != value
    ]
    if changed:
        raise WeightsError(
            f"{folder} was begun with another recipe ({', '.join(changed)}); repeat it, or name another --output"
        )


def describe_run(recipe: Any, training: Photos, held_out: Photos, best: Mapping[str, float]) -> dict[str, Any]:
    """The entries of `meta.json` that all training runs share.

    Args:
        recipe: The recipe of the run, a dataclass.
        training: Photos that were trained on.
        held_out: Photos that were validated on.
        best: The record of the best step.
    """
    counts = [sample.count for sample in training.samples]
    truth = [sample.count for sample in held_out.samples]
    return {
        "data": sorted({f"{s.dataset} {s.subset}" for s in training.samples}),
        "photos": {"training": len(training.samples), "validation": len(held_out.samples)},
        "recipe": recorded(recipe),
        "seed": recipe.seed,
        "validation": {name: best[name] for name in ("step", "mae", "rmse", "bias")},
        "mean_predictor": count_errors(np.full(len(truth), np.mean(counts)), truth),
    }


def recorded(recipe: Any) -> dict[str, Any]:
    """A recipe as `meta.json` holds it: without paths of this machine."""
    return {**dataclasses.asdict(recipe), "negative_photos": Path(recipe.negative_photos).name}


def read_earlier(folder: Path | None) -> Any:
    """The record of the run that another one starts from.

    Raises:
        WeightsError: If the folder holds no finished run.
    """
    if folder is None:
        return None
    try:
        return json.loads((folder / META_FILE).read_text())
    except (OSError, ValueError) as err:
        raise WeightsError(f"--start-from {folder} is no finished run ({err}); give a run's --output") from err


def check_start(earlier: Any, normalisation: str) -> None:
    """Check that a run can start from the weights of another network: both must expect the same pixels.

    Args:
        earlier: Record of the other network; None if the run starts from none.
        normalisation: Key of `NORMALISATIONS` that this run trains with.

    Raises:
        WeightsError: If the weights expect other pixels, as weights that others published may.
    """
    if earlier is not None and earlier.get("normalisation", normalisation) != normalisation:
        raise WeightsError(
            f"--start-from has weights for pixels normalised as {earlier['normalisation']}, this script trains with "
            f"{normalisation}; start from a network that this script trained"
        )


def draw_curves(records: list[dict[str, Any]], path: Path) -> None:
    """Draw training loss and validation errors against steps, as a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss_axes, error_axes = figure.subplots(1, 2)
    steps = [record["step"] for record in records]
    loss_axes.plot(steps, [record["loss"] for record in records], color="#4c72b0")
    loss_axes.set(title="Training loss", xlabel="step", ylim=(0, None))
    for name, colour in (("mae", "#c44e52"), ("rmse", "#dd8452")):
        error_axes.plot(steps, [record[name] for record in records], color=colour, label=name.upper())
    error_axes.set(title="Validation error, people per photo", xlabel="step", ylim=(0, None))
    error_axes.legend()
    figure.savefig(path, dpi=100)
