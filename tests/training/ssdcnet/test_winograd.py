"""Winograd's convolution against PyTorch's: values, gradients, and the layers that it replaces."""

import copy

import pytest
import torch
from torch import nn

from training.ssdcnet.winograd import MIN_CHANNELS, WinogradConv2d, use_winograd


@pytest.mark.parametrize(("height", "width"), [(4, 8), (7, 5), (1, 2), (12, 9)])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_match_direct_convolution(height: int, width: int, bias: bool) -> None:
    torch.manual_seed(0)
    direct = nn.Conv2d(MIN_CHANNELS, 24, 3, padding=1, bias=bias)
    fast = copy.deepcopy(direct)
    use_winograd(fast)
    assert type(fast) is WinogradConv2d
    images = torch.randn(2, MIN_CHANNELS, height, width)
    found = []
    for layer in (direct, fast):
        x = images.clone().requires_grad_()
        y = layer(x)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        found.append([y.detach(), x.grad, *(p.grad for p in layer.parameters())])
    for expected, computed in zip(*found, strict=True):
        torch.testing.assert_close(computed, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


def test_frozen_weights_get_no_gradient() -> None:
    layer = nn.Conv2d(MIN_CHANNELS, 8, 3, padding=1).requires_grad_(False)
    use_winograd(layer)
    x = torch.randn(1, MIN_CHANNELS, 4, 4, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None


def test_only_wide_plain_convolutions_are_replaced() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, MIN_CHANNELS, 3, padding=1), nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, padding=1), nn.ReLU()
    )
    names = list(net.state_dict())
    use_winograd(net)
    assert [type(layer) for layer in net] == [nn.Conv2d, WinogradConv2d, nn.ReLU]
    assert list(net.state_dict()) == names
    with pytest.raises(ValueError, match="no plain 3x3 convolution"):
        use_winograd(nn.Conv2d(MIN_CHANNELS, 8, 3, padding=2, dilation=2))
