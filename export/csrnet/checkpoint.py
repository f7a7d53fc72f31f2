"""CSRNet checkpoints in three forms: a folder that training wrote, a served version, or a published HDF5 file."""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import keras

from crowdserve.cards import NORMALISATIONS, Normalisation, find_card
from crowdserve.errors import WeightsError
from crowdserve.nets import published
from crowdserve.nets.csrnet import build_csrnet, fill_from_served
from crowdserve.nets.served_weights import MODEL_FILE
from crowdserve.nets.vgg16 import conv_layers
from export.metadata import published_normalisation, read_record


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network with its weights and their origin.

    Attributes:
        model: Network from normalised images to density.
        normalisation: Normalisation that the weights expect.
        meta: The record that goes beside the exported model.
    """

    model: keras.Model
    normalisation: Normalisation
    meta: dict[str, object]


def load_csrnet(path: Path, card_name: str, normalisation: str | None = None) -> Checkpoint:
    """Load a checkpoint of CSRNet.

    Args:
        path: A folder with `<card>.weights.h5` and `meta.json`, a served model's version folder, or a published .h5 or
            .hdf5 file.
        card_name: Name of the card to export as; a folder must have been trained for it.
        normalisation: Key of `NORMALISATIONS`; None takes the folder's own, or that of the published networks.

    Raises:
        WeightsError: If there is no such checkpoint, or it is damaged or of another network.
    """
    if path.is_dir():
        return _load_trained(path, card_name, normalisation)
    if path.is_file():
        return _load_published(path, card_name, normalisation)
    raise WeightsError(f"{path} does not exist; give a checkpoint folder of training/csrnet or a published .h5 file")


def _load_trained(folder: Path, card_name: str, normalisation: str | None) -> Checkpoint:
    meta = read_record(folder, card_name, script="training/csrnet", needs=("batch_norm",))
    key = normalisation or meta["normalisation"]
    if (folder / MODEL_FILE).exists():
        model = build_csrnet()
        fill_from_served(model, folder)  # batch normalisation was folded in
        return Checkpoint(model, NORMALISATIONS[key], {**meta, "normalisation": key})
    model = build_csrnet(batch_norm=meta["batch_norm"])
    weights = folder / f"{card_name}.weights.h5"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns about layers that it leaves unchanged
            model.load_weights(weights)
    except (OSError, ValueError, KeyError, UserWarning) as err:
        raise WeightsError(f"{weights} does not hold the weights of a {_describe(meta)}: {err}") from err
    return Checkpoint(model, NORMALISATIONS[key], {**meta, "normalisation": key})


def _describe(meta: dict[str, object]) -> str:
    return "CSRNet with batch normalisation" if meta["batch_norm"] else "CSRNet without batch normalisation"


def _load_published(path: Path, card_name: str, normalisation: str | None) -> Checkpoint:
    key = published_normalisation(find_card(card_name), path, normalisation)
    weights = published.read_published_csrnet(path)
    model = build_csrnet()
    for layer, arrays in zip(conv_layers(model), weights, strict=True):
        layer.set_weights(arrays)
    meta = {
        "card": card_name,
        "normalisation": key,
        "batch_norm": False,
        "source": "published h5",
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return Checkpoint(model, NORMALISATIONS[key], meta)
