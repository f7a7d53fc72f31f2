"""What a model can have computed: shape, sign, size and finiteness of its outputs, by its card.

Triton may be another one than the operator thinks, run other files, or overflow in FP16. An answer that is believed
then becomes a head count of -6,912.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.cards import ENSEMBLES, VGG16, ModelCard, TensorSpec
from crowdserve.errors import TritonWrong
from crowdserve.triton.client import TritonAnswer
from crowdserve.triton.replies import DTYPES

LARGEST = 65_504.0
"""Largest number of FP16, which networks compute in on a GPU: more is an overflow, and its sums overflow as well."""

_Tensor = npt.NDArray[Any]

_OUTPUTS: Mapping[str, Mapping[str, tuple[ModelCard, TensorSpec]]] = MappingProxyType(
    {VGG16.name: {tensor.name: (VGG16, tensor) for tensor in VGG16.outputs}}
    | {
        ensemble.name: {ensemble.output_name(card, t): (card, t) for card in ensemble.members for t in card.outputs}
        for ensemble in ENSEMBLES.values()
    }
)
"""Card and tensor of each output, by model and output."""


def checked(model: str, images: _Tensor, answer: TritonAnswer) -> TritonAnswer:
    """An answer of a model that agrees with its card; a value below zero by rounding becomes zero.

    Args:
        model: The model that was asked.
        images: The batch that it was sent, uint8 [N, height, width, 3].
        answer: Its answer.

    Raises:
        TritonWrong: If the model cannot have computed it; the message names model and output.
    """
    return TritonAnswer(
        answer.version, {name: _checked(model, name, images, tensor) for name, tensor in answer.tensors.items()}
    )


def expected_bytes(model: str, images: _Tensor, outputs: Sequence[str]) -> int:
    """Size of some outputs of a model for a batch."""
    found = (_OUTPUTS[model][name] for name in outputs)
    return sum(math.prod(_shape(card, spec, images)) * np.dtype(DTYPES[spec.dtype]).itemsize for card, spec in found)


def _checked(model: str, name: str, images: _Tensor, tensor: _Tensor) -> _Tensor:
    card, spec = _OUTPUTS[model][name]
    subject, expected = f"Triton's {model} answered wrongly: {name} has", _shape(card, spec, images)
    if tensor.dtype != DTYPES[spec.dtype]:
        raise TritonWrong(f"{subject} datatype {tensor.dtype}, expected {spec.dtype}")
    if tensor.shape != expected:
        raise TritonWrong(f"{subject} shape {list(tensor.shape)}, expected {list(expected)} for {_size(images)}")
    lowest, highest = float(tensor.min()), float(tensor.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise TritonWrong(f"{subject} values that are not finite; look for an overflow in {card.name}")
    if highest > LARGEST:
        raise TritonWrong(f"{subject} the value {highest:g}, over {LARGEST:,.0f}; look for an overflow in {card.name}")
    if lowest < -card.tolerance.relative * max(highest, 1.0):
        raise TritonWrong(f"{subject} the value {lowest:g}; expected none below 0")
    return tensor if lowest >= 0 else np.maximum(tensor, tensor.dtype.type(0))


def _shape(card: ModelCard, spec: TensorSpec, images: _Tensor) -> tuple[int, ...]:
    """Shape of an output, the batch included: a map covers the image as the network pads it."""
    stride, multiple = card.geometry.output_stride, card.geometry.map_multiple
    if spec.name == card.density_output and stride is not None:
        return len(images), *(-(-side // multiple) * multiple // stride for side in images.shape[1:3])
    return len(images), *(axis for axis in spec.axes if isinstance(axis, int))


def _size(images: _Tensor) -> str:
    return f"{images.shape[2]}x{images.shape[1]} px"
