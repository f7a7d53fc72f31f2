"""The mean of networks' weights, where each run went on from another: often better than any.

    python -m training.weight_average DATASET checkpoints/b3 checkpoints/b4 --card csrnet_b --cache f --output mean

The mean is validated as the last run was; its record says what it is the mean of. (Izmailov et al.: Averaging Weights
Leads to Wider Optima and Better Generalization, 2018.)
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf
import torch

from crowdserve.cards import ModelCard, cards_of, find_card
from crowdserve.datasets import load_to_learn_from
from crowdserve.errors import CrowdServeError, WeightsError
from crowdserve.model_records import META_FILE
from crowdserve.nets.ssdcnet import STATE
from training import csrnet, csrnet_net, ssdcnet, ssdcnet_net
from training.flags import frozen
from training.run import read_earlier


def average(card: ModelCard, runs: list[Path], datasets: list[Path], cache: Path, output: Path) -> dict[str, Any]:
    """Write the mean's weights and record; returns its validation errors.

    Args:
        card: Of both networks.
        runs: Checkpoint folders, or version folders of served models; the last one's recipe decides how the mean is
            validated.
        datasets: Labelled photos of that run.
        cache: Features of that run.
        output: Checkpoint folder to write.

    Raises:
        WeightsError: If a folder holds no finished run of this card.
        DatasetError: If there are no labelled photos to validate on.
    """
    records = [read_earlier(run) for run in runs]
    for run, record in zip(runs, records, strict=True):
        if record["card"] != card.name:
            raise WeightsError(f"{run} was trained for the card {record['card']!r}, not {card.name!r}")
    load_to_learn_from(datasets)  # a wrong folder is told before anything is written
    if card.family == "ssdcnet":
        write_ssdcnet_mean(runs, output, card.name)
    else:
        write_csrnet_mean(runs, output, card.name, batch_norm=records[-1]["batch_norm"])
    errors = _validate(card, records[-1]["recipe"], datasets, cache, output)
    steps = [record["validation"]["step"] for record in records]
    meta = {**records[-1], "validation": {"step": steps[-1], **errors}, "mean_of_runs_at_steps": steps}
    (output / META_FILE).write_text(json.dumps(meta, indent=2) + "\n")
    return errors


def write_csrnet_mean(sources: list[Path], target: Path, name: str, *, batch_norm: bool) -> None:
    """Write the mean of CSRNets of a card's `name` from their folders to another folder."""
    models = [csrnet_net.load_csrnet(source, name, batch_norm=batch_norm) for source in sources]
    columns = zip(*(model.get_weights() for model in models), strict=True)
    models[0].set_weights([sum(column) / len(column) for column in columns])
    target.mkdir(parents=True, exist_ok=True)
    models[0].save_weights(target / f"{name}.weights.h5")


def write_ssdcnet_mean(sources: list[Path], target: Path, name: str) -> None:
    """The same for SSDCNets.

    Raises:
        WeightsError: If their front-ends are written in other units: neither run went on from the other then.
    """
    states = [ssdcnet_net.load_state(source, name) for source in sources]
    first, *others = (state[ssdcnet_net.UNIT_LAYER] for state in states)
    for source, kernel in zip(sources[1:], others, strict=True):
        if not torch.allclose(kernel, first, rtol=1e-2, atol=1e-3 * float(first.abs().max())):
            raise WeightsError(
                f"{source} and {sources[0]} have front-ends in other units; give a run and the one that it started from"
            )
    mean = {key: torch.stack([state[key] for state in states]).mean(dim=0) for key in states[0]}
    target.mkdir(parents=True, exist_ok=True)
    torch.save({STATE: mean}, target / f"{name}.pth")


def _validate(
    card: ModelCard, fields: dict[str, Any], datasets: list[Path], cache: Path, run: Path
) -> dict[str, float]:
    """Errors of a folder's network on the validation photos of a recorded recipe."""
    given = {name: frozen(value) for name, value in fields.items()}
    if card.family == "ssdcnet":
        divider = ssdcnet_net.TrainingNet(card, ssdcnet_net.Recipe(**given))
        photos = ssdcnet.make_held_out(datasets, divider, cache)
        divider.start_from(run, card.name)
        return ssdcnet.validate(photos, divider)
    recipe = csrnet_net.Recipe(**given)
    photos = csrnet.make_held_out(datasets, card, recipe, cache)
    net = csrnet_net.TrainingNet(recipe, photos)
    net.start_from(run, card.name)
    return csrnet.validate(photos, tf.function(lambda source: net(source, training=False), reduce_retracing=True))


def main() -> None:
    """Read the flags and average."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder of labelled photos")
    parser.add_argument("runs", nargs="+", type=Path, help="checkpoint or served version folders, the latest run last")
    trainable = [card.name for card in cards_of("csrnet", "ssdcnet")]
    parser.add_argument("--card", required=True, choices=trainable, help="which network this is")
    parser.add_argument("--cache", required=True, type=Path, help="folder of cached features of the latest run")
    parser.add_argument("--output", required=True, type=Path, help="checkpoint folder to write")
    flags = parser.parse_args()
    try:
        print(average(find_card(flags.card), flags.runs, [flags.dataset], flags.cache, flags.output))
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
