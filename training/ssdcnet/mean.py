"""The mean of SSDCNets' weights, and its errors on the validation photos of one of their runs."""

from pathlib import Path
from typing import Any

import torch

from crowdserve.cards import ModelCard
from crowdserve.errors import WeightsError
from crowdserve.nets.ssdcnet import STATE
from training.ssdcnet import train
from training.ssdcnet.net import UNIT_LAYER, Recipe, TrainingNet, load_state


def write_mean(card: ModelCard, runs: list[Path], output: Path, record: dict[str, Any]) -> None:
    """Write the mean of SSDCNets to a checkpoint folder.

    Args:
        card: The card of all the networks.
        runs: Checkpoint folders, or version folders of served models.
        output: Folder to write; made if it is missing.
        record: `meta.json` of the last run; not used here.

    Raises:
        WeightsError: If their front-ends are in different units: then no run started from the other.
    """
    states = [load_state(run, card.name) for run in runs]
    first, *others = (state[UNIT_LAYER] for state in states)
    for run, kernel in zip(runs[1:], others, strict=True):
        if not torch.allclose(kernel, first, rtol=1e-2, atol=1e-3 * float(first.abs().max())):
            raise WeightsError(
                f"{run} and {runs[0]} have front-ends in other units; give a run and the one that it started from"
            )
    mean = {key: torch.stack([state[key] for state in states]).mean(dim=0) for key in states[0]}
    output.mkdir(parents=True, exist_ok=True)
    torch.save({STATE: mean}, output / f"{card.name}.pth")


def validate_mean(
    card: ModelCard, fields: dict[str, Any], datasets: list[Path], cache: Path, run: Path
) -> dict[str, float]:
    """Errors of the network in a folder on the validation photos of a recipe.

    Args:
        card: The card of the network.
        fields: The recipe, by field.
        datasets: Folders of labelled photos.
        cache: Folder of cached features.
        run: Checkpoint folder of the network.
    """
    net = TrainingNet(card, Recipe(**fields))
    photos = train.make_held_out(datasets, net, cache)
    net.start_from(run, card.name)
    return train.validate(photos, net)
