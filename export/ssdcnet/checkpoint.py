"""SSDCNet checkpoints: a folder that a training wrote, a served version, or a published .pth file."""

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crowdserve.cards import NORMALISATIONS, ModelCard, Normalisation
from crowdserve.errors import WeightsError
from crowdserve.nets.served_weights import MODEL_FILE
from crowdserve.nets.ssdcnet import STATE, SSDCNet, served_state
from crowdserve.nets.tensor_file import read_tensors
from export.metadata import published_normalisation, read_record

_S_DCNET_PREFIX = "conv1_features."
_CLASSES = "back_end_cls.3.bias"


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
            published .pth file.
        card: Card to export as; a folder must have been trained for it.
        normalisation: Key of `NORMALISATIONS`; None takes the folder's own, or that of the published network.

    Raises:
        WeightsError: If there is no such checkpoint, or it is damaged or of another network.
    """
    if path.is_dir():
        meta: dict[str, object] = read_record(path, card.name, script="training/ssdcnet")
        key = normalisation or str(meta["normalisation"])
        return Checkpoint(_load_folder(path, card), NORMALISATIONS[key], {**meta, "normalisation": key})
    if path.is_file():
        return _load_published(path, card, normalisation)
    raise WeightsError(
        f"{path} does not exist; give a checkpoint folder of training/ssdcnet or training/gpu, or a published .pth file"
    )


def _load_published(path: Path, card: ModelCard, normalisation: str | None) -> Checkpoint:
    key = published_normalisation(card, path, normalisation)
    net = _load(path, card)
    meta: dict[str, object] = {
        "card": card.name,
        "normalisation": key,
        "source": "published pth",
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
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
    return _fill(path, _read_state(path), card)


def _fill(path: Path, state: Mapping[str, Tensor], card: ModelCard) -> SSDCNet:
    net = SSDCNet(card.max_local_count or 0)
    _check_names(path, state, net.state_dict())
    _check_classes(path, state, card, net)
    _check_tensors(path, state, net.state_dict())
    net.load_state_dict(state)
    return net.eval()


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickle's version; the content is checked below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise WeightsError(
            f"{path} is not a PyTorch file of tensors alone; a file with other objects could run code when it is read, "
            f"so it is refused: save {{'{STATE}': net.state_dict()}} again"
        ) from err
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as err:
        raise WeightsError(
            f"{path} is missing, truncated or no PyTorch file ({_first_line(err)}); fetch it again"
        ) from err
    state = content.get(STATE) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        found = ", ".join(map(repr, content)) if isinstance(content, dict) else type(content).__name__
        raise WeightsError(f"{path} holds {found[:200]}; expected a dictionary with the tensors under {STATE!r}")
    return state


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


def _first_line(err: Exception) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0]
