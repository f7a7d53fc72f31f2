"""The arithmetic and the least traffic of a network, layer by layer, from the layers' shapes alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn

from benchmarks.gpu.networks import Network

LAYERS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
"""Layers that are counted; a ReLU is taken as a part of the convolution before it."""


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What a layer needs for one batch.

    Attributes:
        name: Its name in the module.
        flops: Two for each multiplication with addition; 0 for a pooling.
        activations: Values that it reads and writes, each once.
        parameters: Weights that it reads, each once.
    """

    name: str
    flops: int
    activations: int
    parameters: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network needs for one batch."""

    layers: tuple[LayerCost, ...]

    @property
    def flops(self) -> int:
        """Operations, two for each multiplication with addition."""
        return sum(layer.flops for layer in self.layers)

    def traffic_bytes(self, value_bytes: int) -> int:
        """Bytes that must be moved if no layer but a ReLU is fused with another."""
        return value_bytes * sum(layer.activations + layer.parameters for layer in self.layers)

    def roofline_seconds(self, flops_per_second: float, bytes_per_second: float, value_bytes: int) -> float:
        """The least time: each layer is bound by its arithmetic or by its traffic (Williams et al., 2009)."""
        return sum(
            max(
                layer.flops / flops_per_second,
                value_bytes * (layer.activations + layer.parameters) / bytes_per_second,
            )
            for layer in self.layers
        )


def cost_of(network: Network, width: int, height: int, batch: int) -> Cost:
    """Count a network's work on images of a size, which includes the padding."""
    width, height = network.padded(width, height)
    times = batch * (width // network.multiple) * (height // network.multiple)
    return Cost(
        tuple(
            replace(layer, flops=times * layer.flops, activations=times * layer.activations)
            for layer in _layers(network)
        )
    )


@cache
def _layers(network: Network) -> list[LayerCost]:
    """The layers' costs for the smallest image; those of others are in the ratio of the areas."""
    layers: list[LayerCost] = []

    def count(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            parameters = sum(parameter.numel() for parameter in layer.parameters())
            flops = 0
            if isinstance(layer, nn.Conv2d):
                flops = 2 * output.numel() * layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
            layers.append(LayerCost(name, flops, inputs[0].numel() + output.numel(), parameters))

        return hook

    hooks = [
        layer.register_forward_hook(count(name))
        for name, layer in network.module.named_modules()
        if isinstance(layer, LAYERS)
    ]
    try:
        with torch.inference_mode():
            network.module(torch.zeros(1, 3, network.multiple, network.multiple))
    finally:
        for hook in hooks:
            hook.remove()
    return layers
