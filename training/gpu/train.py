r"""Training of every layer of a counting network within a given time, on a GPU.

    python -m training.gpu.packed part_A/train_data part_a.npz
    python -m training.gpu csrnet_a --data part_a.npz --output checkpoints/csrnet_a \
        --start-from model_repository/csrnet_a/1
    python -m export.csrnet checkpoints/csrnet_a --card csrnet_a --version 2

It prints the errors on the validation photos every 20 seconds and ends after --minutes. The same command goes on with a
run that was stopped; with more --minutes, with one that is finished. Kept are the weights' average at the end, or the
best one if it was clearly better.
"""

import dataclasses
import itertools
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from crowdserve.cards import ModelCard, find_card, normalisation_name
from crowdserve.errors import CrowdServeError, SetupError
from training.engine.run import recorded
from training.gpu.clock import Clock
from training.gpu.flags import read_flags
from training.gpu.loop import Figures, Run, run_for_its_time
from training.gpu.material import Material, read_material
from training.gpu.nets import build
from training.gpu.output import OutputFolder
from training.gpu.recipe import Recipe
from training.gpu.start import start_from
from training.gpu.stream import stream
from training.gpu.trainer import Trainer
from training.gpu.validation import errors


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """How a run is worked at, which changes nothing of what it is.

    Attributes:
        device: Where it trains.
        workers: Processes that draw windows.
        validate_seconds: Time between two validations.
        new_clock: Function from minutes and seconds spent to a clock.
    """

    device: torch.device
    workers: int = 15
    validate_seconds: float = 20.0
    new_clock: Callable[[float, float], Clock] = Clock


def train(
    card: ModelCard, material: Material, recipe: Recipe, output: OutputFolder, start: Path | None, session: Session
) -> Run:
    """Begin a run, or go on with it to its end.

    Args:
        card: The card of the network.
        material: Its photos.
        recipe: Its recipe.
        output: Its folder.
        start: The weights that it begins with; random ones if None.
        session: How it is worked at.

    Raises:
        WeightsError: If the folder holds another run, or the start cannot be used.
    """
    output.check({**recorded(recipe), "card": card.name, "data": list(material.data)})
    torch.manual_seed(recipe.seed)
    device = session.device
    torch.backends.cudnn.benchmark = True
    net, state = build(card, recipe.loss), output.state(device)
    first_start = start_from(net, card, start) if start and not state else None
    earlier = state["started_from"] if state else first_start
    trainer = Trainer(net, recipe, device)

    clock = session.new_clock(recipe.minutes, state["seconds"] if state else 0.0)
    run = Run(trainer, clock, output, recipe.tolerance, earlier)
    if state:
        run.restore(state)

    def judge() -> Figures:
        found = {s.name: errors(net, s.validation, device, card.geometry.max_side_px) for s in material.judges}
        return {**next(iter(found.values())), **({"sets": found} if len(found) > 1 else {})}

    def validate() -> None:
        run.validate(judge, lambda kept, last: _meta(card, material, recipe, run, kept, last, device))

    if not state or clock.progress < 1:
        with clock.stopped():  # neither the start's validation nor that of the processes is time of the run
            if not state:
                validate()
            seed = (recipe.seed, trainer.step)  # a session that goes on draws other windows than those before
            batches = stream(material.windows, seed, workers=session.workers, pinned=device.type == "cuda")
            first = next(batches)
        run_for_its_time(
            run,
            itertools.chain([first], batches),
            validate_seconds=session.validate_seconds,
            stop_clock=recipe.stop_clock,
            validate=validate,
        )
    return run


def _meta(
    card: ModelCard,
    material: Material,
    recipe: Recipe,
    run: Run,
    kept: Mapping[str, Any],
    last: bool,
    device: torch.device,
) -> Figures:
    """The content of meta.json, as `export` and the page of the models read it."""
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
    return {
        "card": card.name,
        "normalisation": normalisation_name(card.normalisation),
        **({"batch_norm": False} if card.max_local_count is None else {}),
        "data": list(material.data),
        "photos": {"training": material.photos, "validation": len(material.judges[0].validation)},
        "recipe": recorded(recipe),
        "seed": recipe.seed,
        "kept": "last" if last else "best",
        "validation": {figure: kept[figure] for figure in ("step", "mae", "rmse", "bias")},
        "mean_predictor": material.mean_predictor(),
        "started_from": run.earlier,
        "minutes": round(run.clock.seconds / 60, 2),
        "wall_seconds": round(run.wall_seconds, 1),
        "machine": {**machine, **gpu, "torch": torch.__version__},
        "finished": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def find_device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        SetupError: If there is none.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as err:  # an assertion where PyTorch has no CUDA
        reason = (str(err).splitlines() or ["none found"])[0]
        raise SetupError(f"--device {name} cannot be used ({reason}); name another, cpu for instance") from err
    return device


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the flags and train."""
    flags, recipe = read_flags(__doc__, arguments)
    card = find_card(flags.card)
    try:
        session = Session(find_device(flags.device), flags.workers, flags.validate_seconds)
        output = OutputFolder(flags.output, card.name, flags.parts)
        run = train(card, read_material(flags.data, flags.judge, recipe), recipe, output, flags.start_from, session)
    except CrowdServeError as err:
        sys.exit(f"error: {err}")
    print(f"{flags.output}: {run.trainer.step} steps in {run.clock.seconds / 60:.1f} min, see meta.json and log.jsonl")


if __name__ == "__main__":
    main()
