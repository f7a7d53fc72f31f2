"""The loop of a training run, independent of the framework that takes the steps."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from training.data.crops import Pair
from training.data.photos import Photos
from training.engine.run import RunFolder


class Trainer(Protocol):
    """A network with its optimiser and the averages of its weights; the constructor restores an existing checkpoint."""

    @property
    def done(self) -> int:
        """Steps taken."""

    def train(self, batch: Pair) -> float:
        """One optimiser step; returns the loss."""

    def swap_averages(self) -> None:
        """Exchange the network's weights and their averages."""

    def save(self) -> None:
        """Write the checkpoint."""


def run_steps(
    run: RunFolder,
    trainer: Trainer,
    training: Photos,
    *,
    steps: int,
    every: int,
    validate: Callable[[], dict[str, float]],
    save_weights: Callable[[], None],
    describe: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> None:
    """Train from the step of the checkpoint to the last step, and keep the best averaged weights.

    The checkpoint is written last: a run that is stopped while it writes weights or records resumes from the checkpoint
    before, and writes them again.

    Args:
        run: Folder that figures are recorded in.
        trainer: The network and optimiser that take the steps.
        training: Photos to train on.
        steps: Number of the last step.
        every: Steps between two validations.
        validate: Function that returns the errors of the present network, `mae` among them.
        save_weights: Function that saves the present network.
        describe: Function from the record of the best step to the content of `meta.json`.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    losses: list[float] = []
    for step in tqdm(range(trainer.done, steps), initial=trainer.done, total=steps, desc="training", unit="step"):
        losses.append(trainer.train(training.batch(step)))
        done = step + 1
        if done % every and done != steps:
            continue
        trainer.swap_averages()
        errors = validate()
        if run.is_best(done, errors["mae"]):
            save_weights()
        trainer.swap_averages()
        run.record(step=done, loss=float(np.mean(losses)), **errors)
        run.write_meta(describe(run.best()))
        trainer.save()
        tqdm.write(f"step {done}: loss {np.mean(losses):.4f}, validation {errors}")
        losses.clear()
