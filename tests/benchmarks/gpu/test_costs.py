"""Operations and bytes of the networks against arithmetic by hand and PyTorch's own counter."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.costs import cost_of
from benchmarks.gpu.networks import Network, csrnet, ssdcnet, vgg16
from crowdserve.cards import IMAGENET_UNIT

VGG_PAIRS = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)]
VGG_PAIRS += [(512, 512)] * 5
VGG_STRIDES = [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 16, 16, 16]
BACK_END_PAIRS = [(512, 512)] * 3 + [(512, 256), (256, 128), (128, 64)]


@pytest.fixture(scope="module", params=[csrnet, ssdcnet], ids=["csrnet", "ssdcnet"])
def counting(request: pytest.FixtureRequest) -> Network:
    return request.param(None)


def convolutions(pairs: list[tuple[int, int]], strides: list[int], width: int, height: int) -> int:
    return sum(
        2 * 9 * before * after * (width // stride) * (height // stride)
        for (before, after), stride in zip(pairs, strides, strict=True)
    )


def by_pytorch(network: Network, width: int, height: int) -> int:
    width, height = network.padded(width, height)
    with FlopCounterMode(display=False) as counter:
        network.on("meta", torch.float32)(torch.empty(1, 3, height, width, device="meta"))
    return counter.get_total_flops()


def test_csrnet_by_hand() -> None:
    width, height = 1024, 768
    front = convolutions(VGG_PAIRS[:10], VGG_STRIDES[:10], width, height)
    back = convolutions(BACK_END_PAIRS, [8] * 6, width, height) + 2 * 64 * (width // 8) * (height // 8)
    flops = cost_of(csrnet(None), width, height, 1).flops
    assert flops == front + back
    assert flops == pytest.approx(0.65e12, rel=0.01)


def test_vgg16_by_hand() -> None:
    assert cost_of(vgg16(), 224, 224, 4).flops == 4 * convolutions(VGG_PAIRS, VGG_STRIDES, 224, 224)


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (640, 360), (100, 70)])
def test_counting_networks_as_pytorch_counts(counting: Network, width: int, height: int) -> None:
    assert cost_of(counting, width, height, 1).flops == by_pytorch(counting, width, height)


def test_bytes_and_roofline_by_hand() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    cost = cost_of(Network("small", module, "random", IMAGENET_UNIT, 8), 15, 8, 2)
    pixels = 16 * 8
    conv_values = 2 * (3 + 8) * pixels + 3 * 8 * 9 + 8
    pool_values = 2 * 8 * (pixels + pixels // 4)
    assert cost.traffic_bytes(2) == 2 * (conv_values + pool_values)
    flops = 2 * 2 * 9 * 3 * 8 * pixels
    # The convolution is bound by its arithmetic, the pooling by its bytes.
    assert cost.roofline_seconds(1e3, 1e3, 2) == pytest.approx((flops + 2 * pool_values) / 1e3)
