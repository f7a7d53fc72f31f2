"""The loop of a run: steps until its time is over, validation and a checkpoint now and then."""

import json
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from crowdserve.errors import WeightsError
from crowdserve.nets.tensor_file import pack_tensors
from training.gpu.clock import Clock
from training.gpu.output import OutputFolder
from training.gpu.stream import Batch
from training.gpu.trainer import Trainer

Figures = dict[str, Any]


class Run:
    """A run with its figures: what the loop needs to know besides the network."""

    def __init__(self, trainer: Trainer, clock: Clock, output: OutputFolder, tolerance: float, earlier: Any) -> None:
        """Begin.

        Args:
            trainer: What takes the steps.
            clock: The run's clock.
            output: The run's folder.
            tolerance: The last average is kept if its error is at most this many times the best one's.
            earlier: The record of the network that the run started from.
        """
        self.trainer, self.clock, self._output, self._tolerance = trainer, clock, output, tolerance
        self.earlier, self.log = earlier, list[Figures]()
        self._best: dict[str, Any] = {"mae": math.inf}
        self._began, self._told_step, self._told_seconds, self.waited = time.monotonic(), 0, clock.seconds, 0.0

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `validate` saved."""
        self.trainer.restore(state["trainer"])
        self.log, self._best, self._told_step = state["log"], state["best"], self.trainer.step
        self._began -= state["wall_seconds"]

    @property
    def wall_seconds(self) -> float:
        """Time that all sessions of the run took, validation included."""
        return time.monotonic() - self._began

    def validate(self, judge: Callable[[], Figures], describe: Callable[[Figures, bool], Figures]) -> None:
        """Validate the averages, and write every file.

        Args:
            judge: Function that validates the present network: `mae` and other figures.
            describe: Function from the figures of the kept weights, and whether they are the last, to meta.json's
                content.

        Raises:
            WeightsError: If counts are no numbers any more.
        """
        steps, seconds = self.trainer.step - self._told_step, self.clock.seconds - self._told_seconds
        loss = self.trainer.mean_loss()
        with self.trainer.averaged():
            errors = judge()
        if not math.isfinite(errors["mae"]):
            raise WeightsError(
                f"training diverged by step {self.trainer.step}: counts are no numbers; the folder keeps the "
                "validation before, begin another run with a lower --rate"
            )
        speed = {"steps_per_second": round(steps / seconds, 1) if seconds > 0 else 0.0, "waited": round(self.waited, 1)}
        figures = {"step": self.trainer.step, "loss": loss, **errors, "seconds": round(self.clock.seconds, 1), **speed}
        self.log.append({**figures, "skipped": self.trainer.skipped})
        tqdm.write(json.dumps(self.log[-1]))
        if self.trainer.step == 0:  # the start is judged, but it is no result of the run
            return
        averages = self.trainer.averages()
        if errors["mae"] < self._best["mae"]:
            self._best = {"mae": errors["mae"], "averages": averages, "figures": self.log[-1]}
        last = errors["mae"] <= self._tolerance * self._best["mae"]
        kept = self.log[-1] if last else self._best["figures"]
        meta = describe(kept, last)
        weights = pack_tensors(self.trainer.tensors(averages if last else self._best["averages"]), record=meta)
        saved = {
            "trainer": self.trainer.state(),
            "log": self.log,
            "best": self._best,
            "seconds": self.clock.seconds,
            "wall_seconds": self.wall_seconds,
            "started_from": self.earlier,
        }
        self._output.write(weights, self.log, meta, saved)
        self._told_step, self._told_seconds = self.trainer.step, self.clock.seconds


def run_for_its_time(
    run: Run, batches: Iterator[Batch], *, validate_seconds: float, stop_clock: bool, validate: Callable[[], None]
) -> None:
    """Train until the clock says that the time is over, for one step at least.

    Args:
        run: The run.
        batches: Windows of each step.
        validate_seconds: Time between two validations; there is one at the end too.
        stop_clock: Hold the clock while the network is validated.
        validate: Function that validates the network and writes every file.
    """
    clock, told, over = run.clock, run.clock.seconds, False
    with tqdm(desc="training", total=100, initial=min(100.0, 100 * clock.progress), bar_format=_BAR) as bar:
        while not over:
            asked = clock.seconds
            batch = next(batches)
            run.waited += clock.seconds - asked
            run.trainer.train(batch, clock.progress)
            over = clock.progress >= 1
            bar.update(min(100.0, 100 * clock.progress) - bar.n)
            if over or clock.seconds - told > validate_seconds:
                with clock.stopped(stop_clock):
                    validate()
                told = clock.seconds


_BAR = "{desc}: {percentage:.1f} % |{bar}| {elapsed}"
