"""The weights that a run starts from, and a command that writes those of a served network to one small file.

    python -m training.gpu.start model_repository/csrnet_a/1 csrnet_a.npz            # 33 MB
    python -m training.gpu.start model_repository/csrnet_a/1 csrnet_a.npz --bits 8   # half of it

A GPU may be reachable only by small uploads, and have no ONNX to read a served version with. Eight bits cost little:
on eight photos of Part A SSDCNet SHA errs by 50.2 with them and by 49.8 without.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crowdserve.cards import ModelCard, find_card, normalisation_name
from crowdserve.cards.records import META_FILE
from crowdserve.errors import CrowdServeError, WeightsError
from crowdserve.nets.served_weights import MODEL_FILE
from crowdserve.nets.ssdcnet import served_state
from crowdserve.nets.tensor_file import BITS, Tensors, pack_tensors, read_tensor_record, read_tensors
from crowdserve.nets.torch_csrnet import served_csrnet_state
from crowdserve.whole_files import write_whole
from training.engine.run import check_start
from training.gpu.nets import Net

_CLASSES = "back_end_cls.3."
"""Tensors of SSDCNet whose length is the number of its classes of count."""


def read_start(path: Path) -> tuple[Tensors, Any]:
    """State dict and record of a network to start from.

    Args:
        path: A folder that a run wrote, a served model's version folder, or an .npz file of tensors.

    Returns:
        The tensors, and the network's meta.json, None if it has none.

    Raises:
        WeightsError: If there is no such network, or it is damaged.
    """
    if not path.is_dir():
        return read_tensors(path), read_tensor_record(path)
    try:
        record = json.loads((path / META_FILE).read_text())
        card = find_card(record["card"])
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise WeightsError(
            f"{path} has no {META_FILE} of a network ({err!r}); give a run's --output, a served version or an .npz file"
        ) from err
    if (path / MODEL_FILE).exists():
        state = served_csrnet_state(path) if card.max_local_count is None else served_state(path)
        return {name: tensor.numpy() for name, tensor in state.items()}, record
    return read_tensors(path / f"{card.name}.npz"), record


def fill(net: Net, tensors: Tensors, path: Path) -> None:
    """Give a network the weights that it starts from.

    An SSDCNet with other classes of count gives the classes that both have: their tables agree up to the end of the
    shorter one.

    Raises:
        WeightsError: If the tensors are of another network, or hold NaN or infinity.
    """
    own: dict[str, Tensor] = net.state_dict()
    missing, foreign = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or foreign:
        example = missing[0] if missing else foreign[0]
        raise WeightsError(
            f"{path} is of another network: it lacks {len(missing)} tensors and has {len(foreign)} others, for "
            f"instance {example}; start from a network of the card's family"
        )
    for name, tensor in own.items():
        found = torch.from_numpy(tensors[name])
        from_row = 1 if name.startswith(_CLASSES) else 0
        if found.ndim != tensor.ndim or found.shape[from_row:] != tensor.shape[from_row:]:
            raise WeightsError(f"{path}: {name} is {list(found.shape)}, the network's is {list(tensor.shape)}")
        if not torch.isfinite(found).all():
            raise WeightsError(f"{path}: {name} holds NaN or infinity; start from another network")
        shared = min(len(found), len(tensor))
        tensor[:shared] = found[:shared]


def start_from(net: Net, card: ModelCard, path: Path) -> Any:
    """Give a network the weights of another; returns the other's record, None if it has none.

    Raises:
        WeightsError: If there is no such network, or it is of another family or expects other pixels.
    """
    tensors, record = read_start(path)
    check_start(record, normalisation_name(card.normalisation))
    fill(net, tensors, path)
    return record


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.gpu.start", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("network", type=Path, help="version folder of a served model, or a run's --output")
    parser.add_argument("target", type=Path, help=".npz file to write")
    parser.add_argument("--bits", type=int, choices=BITS, default=16, help="bits of a kernel's value (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        tensors, record = read_start(options.network)
        write_whole(options.target, pack_tensors(tensors, bits=options.bits, record=record))
    except CrowdServeError as err:
        sys.exit(f"error: {err}")
    print(f"{options.target}: {options.target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
