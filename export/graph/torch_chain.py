"""Reader of a PyTorch Sequential of convolutions, ReLUs and poolings as a plain list of steps."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from torch import nn

from export.graph.chain import Convolution, Pooling, Step


def read_chain(name: str, layers: Iterable[nn.Module], *, first: int = 0) -> list[Step]:
    """The steps of some layers, in order.

    Args:
        name: Name of the Sequential in the state dict; a step is called `<name>.<index>`.
        layers: Its layers, or a part of them.
        first: Index of the first of these layers.

    Raises:
        TypeError: If there is a layer, or a setting of a layer, that such a chain does not have.
    """
    steps: list[Step] = []
    for index, layer in enumerate(layers, first):
        match layer:
            case nn.Conv2d(stride=(1, 1), groups=1) if _keeps_size(layer):
                steps.append(_convolution(f"{name}.{index}", layer))
            case nn.ReLU() if steps and isinstance(steps[-1], Convolution):
                steps[-1] = replace(steps[-1], relu=True)
            case nn.MaxPool2d(kernel_size=2, stride=2, padding=0, ceil_mode=False):
                steps.append(Pooling(f"{name}.{index}"))
            case nn.AvgPool2d(kernel_size=2, stride=2, padding=0, ceil_mode=False):
                steps.append(Pooling(f"{name}.{index}", "AveragePool"))
            case _:
                raise TypeError(f"cannot convert layer {name}.{index}, {layer}")
    return steps


def _keeps_size(layer: nn.Conv2d) -> bool:
    (height, width), (dilation, other) = layer.kernel_size, layer.dilation
    whole = height == width and dilation == other and layer.bias is not None and layer.padding_mode == "zeros"
    return whole and layer.padding == (dilation * (height - 1) // 2,) * 2


def _convolution(name: str, layer: nn.Conv2d) -> Convolution:
    kernel, bias = (np.asarray(tensor.detach().numpy()) for tensor in (layer.weight, layer.bias))
    return Convolution(name, kernel.transpose(2, 3, 1, 0), bias, layer.dilation[0], relu=False)
