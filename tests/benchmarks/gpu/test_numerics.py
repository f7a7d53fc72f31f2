"""Planted overflow, undefined values and ties are found, and nothing else is."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.gpu.networks import Network, ssdcnet
from benchmarks.gpu.numerics import FP16_LARGEST, compare, differences
from benchmarks.gpu.photos import SMALL_PHOTOS, pictures
from benchmarks.gpu.precision import BF16, FP16, FP32, TF32
from crowdserve.cards import IMAGENET_UNIT
from crowdserve.errors import DatasetError
from crowdserve.images import Rgb
from tests.support.photos import gray_photo

WHITE: Rgb = np.full((16, 16, 3), 255, np.uint8)


def two_layers(first: float, second: tuple[float, float] = (1e-9, 1e-9)) -> Network:
    """A network whose first layer gives two equal maps, of `first` times the sum of an image's channels."""
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 1, 1))
    with torch.no_grad():
        for layer in module:
            layer.weight.zero_()
            layer.bias.zero_()
        module[0].weight[:] = first
        module[1].weight[0, :, 0, 0] = torch.tensor(second)
    return Network("small", module, "planted", IMAGENET_UNIT, 8)


def first_output(network: Network) -> float:
    """The value of the first layer's maps for a white photo, by hand."""
    normalisation = network.normalisation
    white = sum(
        (255 / normalisation.divisor - mean) / std
        for mean, std in zip(normalisation.mean, normalisation.std, strict=True)
    )
    return white * float(network.module[0].weight.detach()[0, 0])


def test_activation_past_the_range_of_fp16_is_found() -> None:
    network = two_layers(5e4)
    largest = first_output(network)
    assert largest > FP16_LARGEST
    entry = compare(network, [WHITE, WHITE], [FP32, FP16, BF16], "cpu", 60)
    assert entry["fp32"] == {
        "photos_not_finite": 0,
        "largest_activation": pytest.approx(largest, rel=1e-5),
        "largest_activation_layer": "0",
        "share_of_fp16_range": pytest.approx(largest / 65504, rel=1e-5),
    }
    assert entry["fp16"]["photos_not_finite"] == 2
    assert entry["bf16"]["photos_not_finite"] == 0


def test_activation_within_the_range_is_no_overflow() -> None:
    entry = compare(two_layers(3e4), [WHITE], [FP16], "cpu", 60)
    assert entry["fp16"]["photos_not_finite"] == 0
    assert 0.5 < entry["fp16"]["share_of_fp16_range"] < 1


def test_undefined_count_is_found() -> None:
    entry = compare(two_layers(5e4, (1.0, -1.0)), [WHITE], [FP16], "cpu", 60)
    assert entry["fp16"]["photos_not_finite"] == 1
    assert entry["fp16"]["usable_counts"] == 0
    assert entry["counts"] == [0.0], "FP32 has none of it"


@pytest.fixture(scope="module")
def undecided() -> Network:
    """An SSDCNet whose parameters are all 0."""
    network = ssdcnet(None)
    with torch.no_grad():
        for parameter in network.module.parameters():
            parameter.zero_()
    return network


@pytest.mark.parametrize(("gap", "flipped"), [(2.0**-9, True), (2.0**-6, False)])
def test_planted_tie_flips_every_class(undecided: Network, gap: float, flipped: bool) -> None:
    """Two classes a step apart, which bfloat16 rounds to a tie: its ArgMax then takes the first."""
    network = undecided
    with torch.no_grad():
        network.module.back_end_cls[3].bias[[20, 30]] = torch.tensor([1.0, 1.0 + gap])
    entry = compare(network, [WHITE], [BF16], "cpu", 60)
    figures = entry["bf16"]
    cells = 1 + 4 + 16
    table = network.module.table
    # Shares of a quarter, and weights of one half at both steps.
    count = sum(part * float(table[30]) for part in (0.25, 0.5 * 0.5 * 4, 0.5 * 16))
    assert entry["mean_count"] == pytest.approx(count)
    assert (figures["cells"], figures["flipped_cells"]) == (cells, cells if flipped else 0)
    alone = figures["by_flips_alone"]["mean_relative_difference"]
    assert alone == pytest.approx(1 - float(table[20] / table[30]) if flipped else 0)
    assert figures["mean_relative_difference"] == pytest.approx(alone, abs=5e-3)


def test_differences_by_hand() -> None:
    figures = differences(np.array([110.0, 95.0, np.nan, 0.5]), np.array([100.0, 100.0, 7.0, 0.0]))
    assert figures["usable_counts"] == 3
    assert figures["mean_relative_difference"] == pytest.approx((0.1 + 0.05 + 0.5) / 3)
    assert figures["max_difference_people"] == 10.0
    assert figures["bias"] == pytest.approx(5.5 / 200)


def test_one_photo_is_counted_without_time() -> None:
    assert compare(two_layers(1.0), [WHITE] * 3, [TF32], "cpu", 0)["photos"] == 1


def test_no_photo_is_an_error() -> None:
    with pytest.raises(DatasetError, match="none of the files can be read as a photo"):
        compare(two_layers(1.0), [], [FP16], "cpu", 60)


def test_some_photos_come_small_first() -> None:
    files = [gray_photo(width=600, height=100)] * (SMALL_PHOTOS + 1)
    sides = [max(picture.shape) for picture in pictures(files, 512)]
    assert sides == [480] * SMALL_PHOTOS + [512] * (SMALL_PHOTOS + 1)
    assert [max(picture.shape) for picture in pictures(files[:2], 64)] == [64, 64]
