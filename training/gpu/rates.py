"""Learning rates: relative to the size of each tensor, and following the clock."""

import math
from typing import Any

from torch import nn

_LARGEST_FACTOR = 50.0
_USUAL_BIAS, _SMALLEST_BIAS_FACTOR = 0.05, 1e-3


def rate_groups(net: nn.Module, rate: float, frozen: int) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser, each with its `peak` rate; frozen layers are in none.

    The front-ends of the shipped networks are written in units that differ by a factor of 1,000 between layers, so that
    features have unit deviation where a back-end takes them: the kernel of conv3_3 in `ssdcnet_sha` has a root mean
    square of 1.7e-5, where He's initialisation gives 0.029. Adam's steps are as long as the rate whatever the gradient.
    One rate for all would therefore freeze some layers and destroy others.

    Args:
        net: The network.
        rate: Rate of a kernel with the deviation of He's initialisation.
        frozen: Number of the first convolutions that stay as they are.
    """
    groups: list[dict[str, Any]] = []
    for index, layer in enumerate(layer for layer in net.modules() if isinstance(layer, nn.Conv2d)):
        layer.requires_grad_(index >= frozen)
        if index < frozen:
            continue
        he = math.sqrt(2 / layer.weight[0].numel())
        kernel, bias = (float(tensor.detach().square().mean().sqrt()) for tensor in (layer.weight, layer.bias))
        groups.append({"params": [layer.weight], "peak": rate * min(kernel / he, _LARGEST_FACTOR)})
        groups.append({"params": [layer.bias], "peak": rate * max(bias / _USUAL_BIAS, _SMALLEST_BIAS_FACTOR)})
    return groups


def rate_factor(step: int, progress: float, warmup_steps: int) -> float:
    """What the peak rates are multiplied by: up in a line by steps, down to a hundredth in a cosine by time.

    Args:
        step: Steps taken.
        progress: Time spent as a share of the run's length.
        warmup_steps: Steps until the peak.
    """
    fall = 0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return fall * min(1.0, (step + 1) / max(1, warmup_steps))
