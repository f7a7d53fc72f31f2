"""Networks that are chains of convolutions, as an imported checkpoint must hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from crowdserve.errors import WeightsError
from crowdserve.nets.published import ConvWeights, check_shapes, expected_shapes
from crowdserve.nets.vgg_layout import BACK_END, BLOCKS, CSRNET_TORCH_NAMES, VGG16_TORCH_NAMES
from export.graph.chain import Convolution, Step


@dataclass(frozen=True, slots=True)
class Chain:
    """A network's convolutions as they should be.

    Attributes:
        name: Of the network, for messages.
        shapes: Kernel shapes [kh, kw, in, out], in order.
        dilations: Of each.
        pooled: Numbers, from 1, of the convolutions that a 2x2 max pooling follows.
        linear: Numbers of the convolutions that need no ReLU: what it would cut, the service cuts.
        torch_names: Of each under PyTorch, without ``.weight`` and ``.bias``.
        torch_head: What the names of layers that are left out start with.
    """

    name: str
    shapes: Sequence[tuple[int, ...]]
    dilations: Sequence[int]
    pooled: Sequence[int]
    linear: Sequence[int]
    torch_names: Sequence[str]
    torch_head: str | None = None


_BLOCK_ENDS = tuple(accumulate(map(len, BLOCKS)))
_FRONT_END = _BLOCK_ENDS[3]

CSRNET = Chain(
    "CSRNet",
    expected_shapes(),
    [*[1] * _FRONT_END, *[2] * len(BACK_END), 1],
    pooled=_BLOCK_ENDS[:3],
    linear=(_FRONT_END + len(BACK_END) + 1,),
    torch_names=CSRNET_TORCH_NAMES,
)
VGG16 = Chain(
    "VGG16",
    [*expected_shapes()[:_FRONT_END], *[(3, 3, 512, 512)] * len(BLOCKS[4])],
    [1] * _BLOCK_ENDS[-1],
    pooled=_BLOCK_ENDS,
    linear=(),
    torch_names=VGG16_TORCH_NAMES,
    torch_head="classifier.",
)


def weights_of_steps(path: Path, steps: Sequence[Step], chain: Chain) -> ConvWeights:
    """The convolutions of a graph that was read step by step.

    Raises:
        WeightsError: If shapes, values, dilations, activations or poolings are not the network's.
    """
    convolutions = [step for step in steps if isinstance(step, Convolution)]
    weights = [(each.kernel, each.bias) for each in convolutions]
    check_shapes(path, weights, chain.shapes, chain.name)
    for i, (found, dilation) in enumerate(zip(convolutions, chain.dilations, strict=True), 1):
        where = f"{path}: convolution {i} of {len(convolutions)} ({found.name})"
        if found.dilation != dilation:
            raise WeightsError(
                f"{where} has the dilation {found.dilation}; {chain.name}'s has {dilation}. It is a variant of the "
                "network, which needs a card and an export of its own"
            )
        if not found.relu and i not in chain.linear:
            raise WeightsError(f"{where} has no ReLU; {chain.name}'s has one. It is a variant of the network")
    _check_poolings(path, steps, chain)
    return weights


def _check_poolings(path: Path, steps: Sequence[Step], chain: Chain) -> None:
    counts = list(accumulate(isinstance(step, Convolution) for step in steps))
    found = [count for count, step in zip(counts, steps, strict=True) if not isinstance(step, Convolution)]
    expected = list(chain.pooled)
    if found != expected:
        raise WeightsError(
            f"{path} has its poolings after the convolutions {_listed(found)}; {chain.name} has them after "
            f"{_listed(expected)}. It is a variant of the network"
        )


def weights_of_state(path: Path, tensors: Mapping[str, Any], chain: Chain) -> ConvWeights:
    """The convolutions of a PyTorch state dict in NumPy.

    Raises:
        WeightsError: If names, shapes or values are not the network's.
    """
    kept = {name: array for name, array in tensors.items() if not _is_head(name, chain)}
    pairs = [(f"{name}.weight", f"{name}.bias") for name in chain.torch_names]
    _check_names(path, kept, [name for pair in pairs for name in pair], chain)
    weights = []
    for (kernel, bias), shape in zip(pairs, chain.shapes, strict=True):
        if kept[kernel].ndim != 4:
            raise WeightsError(f"{path}: {kernel} has {kept[kernel].ndim} axes; a kernel has 4")
        arrays = kept[kernel].transpose(2, 3, 1, 0), kept[bias]  # OIHW to HWIO
        if [array.shape for array in arrays] != [shape, shape[-1:]]:
            expected = [shape[axis] for axis in (3, 2, 0, 1)]
            raise WeightsError(
                f"{path}: {kernel} and {bias} are {list(kept[kernel].shape)} and {list(kept[bias].shape)}, not those "
                f"of a {chain.name}, {expected} and {expected[:1]}"
            )
        if not all(np.isfinite(array).all() for array in arrays):
            raise WeightsError(f"{path}: {kernel} or {bias} holds NaN or infinity; training diverged")
        weights.append(arrays)
    return weights


def _check_names(path: Path, tensors: Mapping[str, Any], names: Sequence[str], chain: Chain) -> None:
    missing, surplus = [name for name in names if name not in tensors], sorted(tensors.keys() - set(names))
    if missing or surplus:
        raise WeightsError(
            f"{path} does not hold the tensors of a {chain.name}, from {names[0]} to {names[-1]}: of {len(names)} it "
            f"lacks {_examples(missing)}, and it has {_examples(surplus)} besides. {_advice(surplus)}"
        )


def _is_head(name: str, chain: Chain) -> bool:
    return chain.torch_head is not None and name.startswith(chain.torch_head)


def _advice(surplus: Sequence[str]) -> str:
    if any(name.endswith("running_mean") for name in surplus):
        return "It has batch normalisation: fold it into the convolutions before it, then save the state dict again"
    return "Give a checkpoint of its authors' code, or a folder that python -m training.gpu wrote for this card"


def _examples(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more if names else "none"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
