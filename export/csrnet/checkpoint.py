"""CSRNet checkpoints: a folder that a training wrote, a served version, or what others wrote (`export.foreign`)."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import keras

from crowdserve.cards import NORMALISATIONS, Normalisation, find_card
from crowdserve.errors import WeightsError
from crowdserve.nets.csrnet import build_csrnet, fill_from_served
from crowdserve.nets.served_weights import MODEL_FILE
from crowdserve.nets.tensor_file import read_tensors
from crowdserve.nets.vgg16 import fill
from export.foreign.chain import CSRNET, weights_of_state
from export.foreign.checkpoint import is_foreign, read_foreign
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
        path: A folder with `meta.json` and `<card>.weights.h5` or `<card>.npz`, a served model's version folder, or
            what `export.foreign` reads.
        card_name: Name of the card to export as; a folder must have been trained for it.
        normalisation: Key of `NORMALISATIONS`; None takes the folder's own, or that of the published networks.

    Raises:
        WeightsError: If there is no such checkpoint, or it is damaged or of another network.
    """
    if is_foreign(path):
        return _load_foreign(path, card_name, normalisation)
    if path.is_dir():
        return _load_trained(path, card_name, normalisation)
    raise WeightsError(
        f"{path} does not exist; give a checkpoint folder of training/csrnet or training/gpu, or a published file or "
        "SavedModel folder"
    )


def _load_trained(folder: Path, card_name: str, normalisation: str | None) -> Checkpoint:
    meta = read_record(folder, card_name, script="training/csrnet", needs=("batch_norm",))
    key = normalisation or meta["normalisation"]
    if (folder / MODEL_FILE).exists():
        model = build_csrnet()
        fill_from_served(model, folder)  # batch normalisation was folded in
        return Checkpoint(model, NORMALISATIONS[key], {**meta, "normalisation": key})
    model = build_csrnet(batch_norm=meta["batch_norm"])
    weights, tensors = folder / f"{card_name}.weights.h5", folder / f"{card_name}.npz"
    if tensors.exists() and not weights.exists():
        fill(model, weights_of_state(tensors, read_tensors(tensors), CSRNET))
        return Checkpoint(model, NORMALISATIONS[key], {**meta, "normalisation": key})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns about layers that it leaves unchanged
            model.load_weights(weights)
    except (OSError, ValueError, KeyError, UserWarning) as err:
        raise WeightsError(f"{weights} does not hold the weights of a {_describe(meta)}: {err}") from err
    return Checkpoint(model, NORMALISATIONS[key], {**meta, "normalisation": key})


def _describe(meta: dict[str, object]) -> str:
    return "CSRNet with batch normalisation" if meta["batch_norm"] else "CSRNet without batch normalisation"


def _load_foreign(path: Path, card_name: str, normalisation: str | None) -> Checkpoint:
    key = published_normalisation(find_card(card_name), path, normalisation)
    found = read_foreign(path, CSRNET, normalisation=normalisation)
    model = build_csrnet()
    fill(model, found.weights)
    meta = {"card": card_name, "normalisation": key, "batch_norm": False, **found.record}
    return Checkpoint(model, NORMALISATIONS[key], meta)
