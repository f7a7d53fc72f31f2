"""CSRNet checkpoints: a folder that a training wrote, a served version, or a published HDF5 file."""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from crowdserve.cards import NORMALISATIONS, Normalisation, find_card
from crowdserve.errors import WeightsError
from crowdserve.nets import published
from crowdserve.nets.csrnet import build_csrnet, fill_from_served
from crowdserve.nets.served_weights import MODEL_FILE
from crowdserve.nets.tensor_file import read_tensors
from crowdserve.nets.vgg16 import conv_layers
from crowdserve.nets.vgg_layout import CSRNET_TORCH_NAMES
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
        path: A folder with `meta.json` and `<card>.weights.h5` or `<card>.npz`, a served model's version folder, or a
            published .h5 or .hdf5 file.
        card_name: Name of the card to export as; a folder must have been trained for it.
        normalisation: Key of `NORMALISATIONS`; None takes the folder's own, or that of the published networks.

    Raises:
        WeightsError: If there is no such checkpoint, or it is damaged or of another network.
    """
    if path.is_dir():
        return _load_trained(path, card_name, normalisation)
    if path.is_file():
        return _load_published(path, card_name, normalisation)
    raise WeightsError(
        f"{path} does not exist; give a checkpoint folder of training/csrnet or training/gpu, or a published .h5 file"
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
        _fill_from_torch(model, tensors)
        return Checkpoint(model, NORMALISATIONS[key], {**meta, "normalisation": key})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns about layers that it leaves unchanged
            model.load_weights(weights)
    except (OSError, ValueError, KeyError, UserWarning) as err:
        raise WeightsError(f"{weights} does not hold the weights of a {_describe(meta)}: {err}") from err
    return Checkpoint(model, NORMALISATIONS[key], {**meta, "normalisation": key})


def _fill_from_torch(model: keras.Model, path: Path) -> None:
    """Fill a CSRNet without batch normalisation with the tensors of one that training/gpu wrote."""
    tensors, layers = read_tensors(path), conv_layers(model)
    parts = [(f"{name}.weight", f"{name}.bias") for name in CSRNET_TORCH_NAMES]
    if set(tensors) != {name for names in parts for name in names}:
        raise WeightsError(
            f"{path} does not hold the tensors of a CSRNet, from {parts[0][0]} to {parts[-1][1]}; give a folder that "
            "python -m training.gpu wrote for this card"
        )
    for layer, (kernel, bias) in zip(layers, parts, strict=True):
        if tensors[kernel].ndim != 4:
            raise WeightsError(f"{path}: {kernel} has {tensors[kernel].ndim} axes; a kernel has 4")
        arrays = [tensors[kernel].transpose(2, 3, 1, 0), tensors[bias]]  # OIHW to Keras' HWIO
        shapes = [array.shape for array in arrays]
        if shapes != [tuple(weight.shape) for weight in layer.weights]:
            raise WeightsError(f"{path}: {kernel} and {bias} are {shapes}, not those of a CSRNet")
        if not all(np.isfinite(array).all() for array in arrays):
            raise WeightsError(f"{path}: {kernel} or {bias} holds NaN or infinity; training diverged")
        layer.set_weights(arrays)


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
