"""SSDCNet checkpoints: a folder that a training wrote, a served version, a published .pth or a .mar of TorchServe."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crowdserve.cards import NORMALISATIONS, ModelCard, Normalisation
from crowdserve.errors import WeightsError
from crowdserve.nets.served_weights import MODEL_FILE
from crowdserve.nets.ssdcnet import SSDCNet, served_state
from crowdserve.nets.tensor_file import read_tensors
from export.foreign.origin import origin
from export.foreign.torch_file import read_state
from export.foreign.torchserve import is_archive, unpacked_weights
from export.metadata import published_normalisation, read_record

_S_DCNET_PREFIX = "conv1_features."
_CLASSES = "back_end_cls.3.bias"
_FIRST, _COMPUTED = "front_end.features.0.weight", ("edges", "table")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network with its weights and their origin.

    Attributes:
        net: Network from normalised images to map and count.
        normalisation: Normalisation that the weights expect.
        meta: The record that goes beside the exported model.
    """

    net: SSDCNet
    normalisation: Normalisation
    meta: dict[str, object]


def load_ssdcnet(path: Path, card: ModelCard, normalisation: str | None = None) -> Checkpoint:
    """Load a checkpoint of SSDCNet.

    Args:
        path: A folder with `meta.json` and `<card>.pth` or `<card>.npz`, a served model's version folder, or a
            published .pth file or an archive of TorchServe.
        card: Card to export as; a folder must have been trained for it.
        normalisation: Key of `NORMALISATIONS`; None takes the folder's own, or that of the published network.

    Raises:
        WeightsError: If there is no such checkpoint, or it is damaged or of another network.
    """
    if path.exists() and is_archive(path):
        with unpacked_weights(path) as file:
            return _load_published(path, card, normalisation, file, "TorchServe archive")
    if path.is_dir():
        meta: dict[str, object] = read_record(path, card.name, script="training/ssdcnet")
        key = normalisation or str(meta["normalisation"])
        return Checkpoint(_load_folder(path, card), NORMALISATIONS[key], {**meta, "normalisation": key})
    if path.is_file():
        return _load_published(path, card, normalisation, path, "published pth")
    raise WeightsError(
        f"{path} does not exist; give a checkpoint folder of training/ssdcnet or training/gpu, or a published .pth or "
        ".mar file"
    )


def _load_published(path: Path, card: ModelCard, normalisation: str | None, file: Path, source: str) -> Checkpoint:
    """The network of a file, which may be in an archive at a path."""
    key = published_normalisation(card, path, normalisation)
    net = _load(file, card)
    meta: dict[str, object] = {
        "card": card.name,
        "normalisation": key,
        **origin(source, path),
    }
    return Checkpoint(net, NORMALISATIONS[key], meta)


def _load_folder(folder: Path, card: ModelCard) -> SSDCNet:
    if (folder / MODEL_FILE).exists():
        return _fill(folder, served_state(folder), card)
    trained, tensors = folder / f"{card.name}.pth", folder / f"{card.name}.npz"
    if tensors.exists() and not trained.exists():
        return _fill(tensors, {name: torch.from_numpy(a) for name, a in read_tensors(tensors).items()}, card)
    return _load(trained, card)


def _load(path: Path, card: ModelCard) -> SSDCNet:
    return _fill(path, read_state(path, _FIRST, computed=_COMPUTED), card)


def _fill(path: Path, state: Mapping[str, Tensor], card: ModelCard) -> SSDCNet:
    net = SSDCNet(card.max_local_count or 0)
    _check_names(path, state, net.state_dict())
    _check_classes(path, state, card, net)
    _check_tensors(path, state, net.state_dict())
    net.load_state_dict(state)
    return net.eval()


def _check_names(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if any(name.startswith(_S_DCNET_PREFIX) for name in state):
        raise WeightsError(
            f"{path} is a checkpoint of S-DCNet (2019), which divides with other layers; SSDCNet is its successor "
            f"SS-DCNet (2020), whose checkpoints name their first tensor {next(iter(expected))}: fetch one of those"
        )
    missing, foreign = (sorted(a.keys() - b.keys()) for a, b in ((expected, state), (state, expected)))
    if missing or foreign:
        raise WeightsError(
            f"{path} is of another network: of SSDCNet's {len(expected)} tensors it lacks {len(missing)}"
            f"{_for_instance(missing)}, and it has {len(foreign)} others{_for_instance(foreign)}"
        )


def _check_classes(path: Path, state: Mapping[str, Tensor], card: ModelCard, net: SSDCNet) -> None:
    found, expected = len(state[_CLASSES].reshape(-1)), len(net.table)
    if found != expected:
        raise WeightsError(
            f"{path} has {found} classes of count, {card.name} has {expected} (up to {card.max_local_count:g} people "
            f"per cell): it was trained on another data set and needs its own card"
        )


def _check_tensors(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape:
            raise WeightsError(f"{path}: {name} is {list(state[name].shape)}, SSDCNet's is {list(tensor.shape)}")
        if not torch.isfinite(state[name]).all():
            raise WeightsError(f"{path}: {name} holds NaN or infinity; training diverged")


def _for_instance(names: list[str]) -> str:
    return f" (for instance {names[0]})" if names else ""
