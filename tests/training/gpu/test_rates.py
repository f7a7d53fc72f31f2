"""Learning rates."""

import pytest
import torch
from torch import nn

from training.gpu.rates import rate_factor, rate_groups


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3))
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.constant_(layer.bias, 0.05)
    return net


def test_rates_follow_the_size_of_each_tensor() -> None:
    net = layers()
    with torch.no_grad():
        net[2].weight *= 1e-3
        net[2].bias *= 1e-1
        net[3].weight *= 1e6
        net[3].bias.zero_()
    groups = rate_groups(net, 1e-4, frozen=0)
    assert [group["params"][0] for group in groups] == list(net.parameters())
    peaks = [group["peak"] for group in groups]
    assert peaks == pytest.approx([1e-4, 1e-4, 1e-7, 1e-5, 50e-4, 1e-7], rel=0.05)


def test_frozen_layers_are_in_no_group() -> None:
    net = layers()
    groups = rate_groups(net, 1e-4, frozen=2)
    assert [group["params"][0] for group in groups] == [net[3].weight, net[3].bias]
    assert [tensor.requires_grad for tensor in net.parameters()] == [False] * 4 + [True] * 2


def test_rate_rises_by_steps_and_falls_by_time() -> None:
    assert rate_factor(0, 0.0, 100) == pytest.approx(0.01)
    assert rate_factor(49, 0.0, 100) == pytest.approx(0.5)
    assert rate_factor(500, 0.0, 100) == pytest.approx(1)
    assert rate_factor(500, 0.5, 100) == pytest.approx(0.505)
    assert rate_factor(500, 1.0, 100) == rate_factor(500, 1.7, 100) == pytest.approx(0.01)
    assert rate_factor(0, 0.0, 0) == 1
