"""State dicts of PyTorch files that others wrote: tensors are read, and nothing in the file is run.

    python -m export.foreign.torch_file model_best.pth.tar tensors.npz frontend.0.weight

writes them for a process that has TensorFlow, which cannot have PyTorch too. The last argument is the name of the
network's first tensor: what stands before it in the file stands before every name.
"""

import argparse
import pickle
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crowdserve.errors import WeightsError
from export.foreign.safetensors_file import SUFFIX, read_safetensors
from export.foreign.torch_script import is_script, read_script
from export.foreign.zip_files import MOST_BYTES, check_inflated_size, member_names

State = dict[str, Tensor]

ENTRIES = ("net_state_dict", "state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Under which names training scripts keep the tensors beside other things; a file may also be the tensors alone."""

_OF_EXPORTED_PROGRAMS = ("serialized_exported_program.json", "archive_format")
"""Files in the programs of torch.export, of older and of newer PyTorch."""

_NUMBER = np.float64(0).__reduce__()[0]
_HARMLESS = [
    *((_NUMBER, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")),
    argparse.Namespace,
]
"""A best error that some scripts keep is a number of NumPy's, and their arguments are a Namespace."""


def read_state(path: Path, first: str, *, computed: Collection[str] = ()) -> State:
    """The tensors of a checkpoint, by the names of the network alone.

    Args:
        path: A file of `torch.save`, a TorchScript program, or a safetensors file.
        first: Name of the network's first tensor.
        computed: Tensors that the network computes itself: a program holds them, a state dict does not.

    Raises:
        WeightsError: If the file is damaged or of another kind, or holds what could run code when it is read.
    """
    check_inflated_size(path)
    if path.suffix == SUFFIX:
        stored = {name: torch.from_numpy(array.copy()) for name, array in read_safetensors(path).items()}
        return dict(_without_prefix(stored, first))
    if is_script(path):
        program = {name: torch.from_numpy(array) for name, array in read_script(path).items()}
        return {name: each for name, each in _without_prefix(program, first) if name not in computed}
    if _is_exported(path):
        raise WeightsError(
            f"{path} is a program of torch.export (.pt2); where it was made, save its weights: "
            "torch.save(torch.export.load(FILE).state_dict, 'weights.pth')"
        )
    return dict(_without_prefix(_state(path, _load(path), first), first))


def _is_exported(path: Path) -> bool:
    return any(name.rpartition("/")[2] in _OF_EXPORTED_PROGRAMS for name in member_names(path))


def _state(path: Path, content: Mapping[Any, Any], first: str) -> Mapping[str, Tensor]:
    candidates = [content[name] for name in ENTRIES if _is_state(content.get(name))]
    candidates += [content] if _is_state(content) else []
    if not candidates:
        keys = ", ".join(map(repr, content))
        raise WeightsError(
            f"{path} holds {keys[:200]}; expected a dictionary of tensors, alone or under one of {', '.join(ENTRIES)}"
        )
    return next((each for each in candidates if any(name.endswith(first) for name in each)), candidates[0])


def _load(path: Path) -> Mapping[Any, Any]:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
            warnings.simplefilter("ignore", UserWarning)  # about pickle's version; the content is checked below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise WeightsError(
            f"{path} is not a PyTorch file of tensors alone; a file with other objects could run code when it is read, "
            "so it is refused: where it was made, save {'net_state_dict': net.state_dict()} by torch.save"
        ) from err
    except (OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError) as err:
        reason = (str(err).splitlines() or [type(err).__name__])[0]
        raise WeightsError(f"{path} is missing, truncated or no PyTorch file ({reason}); fetch it again") from err
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}; expected a dictionary with the tensors")
    return content


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(each, Tensor) for name, each in value.items())
    )


def _without_prefix(state: Mapping[str, Tensor], first: str) -> Iterator[tuple[str, Tensor]]:
    """Names without what DataParallel, torch.compile and frameworks put before every one of them."""
    prefixes = [name.removesuffix(first) for name in state if name.endswith(first)]
    shared = next((each for each in prefixes if all(name.startswith(each) for name in state)), "module.")
    return ((name.removeprefix(shared), tensor.detach()) for name, tensor in state.items())


def _check_state(path: Path, state: State) -> None:
    """A tensor may have many times the numbers that the file stores."""
    if not state:
        raise WeightsError(f"{path} holds no tensors; give a file with the weights of a network")
    total = sum(tensor.numel() for tensor in state.values()) * np.dtype(np.float32).itemsize
    if total > MOST_BYTES:
        raise WeightsError(f"{path} holds tensors of {total / 1e9:.1f} GB; no network here has {MOST_BYTES / 1e9:.1f}")


def main() -> int:
    """Run the command; returns the exit code, and prints an error as one line."""
    source, target, first = sys.argv[1:]
    try:
        state = read_state(Path(source), first)
        _check_state(Path(source), state)
    except WeightsError as err:
        print(err, file=sys.stderr)
        return 1
    np.savez(target, **{name: tensor.float().numpy() for name, tensor in state.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
