"""The mean of CSRNets' weights, and its errors on the validation photos of one of their runs."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from crowdserve.cards import ModelCard
from training.csrnet import train
from training.csrnet.net import Recipe, TrainingNet, load_csrnet


def write_mean(card: ModelCard, runs: list[Path], output: Path, record: dict[str, Any]) -> None:
    """Write the mean of CSRNets to a checkpoint folder.

    Args:
        card: The card of all the networks.
        runs: Checkpoint folders, or version folders of served models.
        output: Folder to write; made if it is missing.
        record: `meta.json` of the last run.
    """
    models = [load_csrnet(run, card.name, batch_norm=record["batch_norm"]) for run in runs]
    columns = zip(*(model.get_weights() for model in models), strict=True)
    models[0].set_weights([sum(column) / len(column) for column in columns])
    output.mkdir(parents=True, exist_ok=True)
    models[0].save_weights(output / f"{card.name}.weights.h5")


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
    recipe = Recipe(**fields)
    photos = train.make_held_out(datasets, card, recipe, cache)
    net = TrainingNet(recipe, photos)
    net.start_from(run, card.name)
    return train.validate(photos, tf.function(lambda source: net(source, training=False), reduce_retracing=True))
