"""The mean of the weights of runs that each started from the one before: often better than any of them.

    python -m training.average_weights DATASET checkpoints/b3 checkpoints/b4 --card csrnet_b --cache f --output mean

The mean is validated as the last run was, and its record names the steps that it is the mean of. (Izmailov et al.:
Averaging Weights Leads to Wider Optima and Better Generalization, 2018.)
"""

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from crowdserve.cards import ModelCard, cards_of, find_card
from crowdserve.cards.records import META_FILE
from crowdserve.datasets import load_to_learn_from
from crowdserve.errors import CrowdServeError, WeightsError
from training.data.crop_config import current_names
from training.engine.flags import frozen
from training.engine.run import read_earlier
from training.families import FAMILIES


def average(card: ModelCard, runs: list[Path], datasets: list[Path], cache: Path, output: Path) -> dict[str, Any]:
    """Write the weights and the record of the mean; returns its validation errors.

    Args:
        card: The card of all the networks.
        runs: Checkpoint folders, or version folders of served models; the recipe of the last one decides how the mean
            is validated.
        datasets: Folders of labelled photos that the last run was trained on.
        cache: Folder of cached features of the last run.
        output: Checkpoint folder to write.

    Raises:
        WeightsError: If a folder holds no finished run of this card.
        DatasetError: If there are no labelled photos to validate on.
    """
    records = [read_earlier(run) for run in runs]
    for run, record in zip(runs, records, strict=True):
        if record["card"] != card.name:
            raise WeightsError(f"{run} was trained for the card {record['card']!r}, not {card.name!r}")
    load_to_learn_from(datasets)  # fail on a wrong folder before writing anything
    mean = importlib.import_module(FAMILIES[card.family].mean)
    mean.write_mean(card, runs, output, records[-1])
    fields = {name: frozen(value) for name, value in current_names(records[-1]["recipe"]).items()}
    errors = mean.validate_mean(card, fields, datasets, cache, output)
    steps = [record["validation"]["step"] for record in records]
    meta = {**records[-1], "validation": {"step": steps[-1], **errors}, "mean_of_runs_at_steps": steps}
    (output / META_FILE).write_text(json.dumps(meta, indent=2) + "\n")
    return errors


def main() -> None:
    """Read the flags and average."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder of labelled photos")
    parser.add_argument("runs", nargs="+", type=Path, help="checkpoint or served version folders, the latest run last")
    trainable = [card.name for card in cards_of(*FAMILIES)]
    parser.add_argument("--card", required=True, choices=trainable, help="card of the network")
    parser.add_argument("--cache", required=True, type=Path, help="folder of cached features of the latest run")
    parser.add_argument("--output", required=True, type=Path, help="checkpoint folder to write")
    flags = parser.parse_args()
    try:
        print(average(find_card(flags.card), flags.runs, [flags.dataset], flags.cache, flags.output))
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
