"""Augmentations of windows: confetti, litter, patches and light change pixels; only patches remove heads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crowdserve.cards import IMAGENET_TORCH
from crowdserve.datasets import Sample
from training.data.augmentation import COVERED, with_colour_jitter, with_confetti, with_cutout, with_ground_clutter
from training.data.crop_config import CropConfig
from training.data.photos import STRIDE_PX, Photos

SIDE_PX = 128
GREY = np.full((SIDE_PX, SIDE_PX, 3), 120, np.uint8)
DENSITY = np.random.default_rng(0).uniform(0.1, 1.0, (SIDE_PX // STRIDE_PX,) * 2).astype(np.float32)


def black(side_px: int) -> np.ndarray:
    return np.zeros((side_px, side_px, 3), np.uint8)


@given(seed=st.integers(0, 2**32))
def test_confetti_covers_a_small_share_of_the_image(seed: int) -> None:
    covered = (with_confetti(GREY, np.random.default_rng(seed)) != GREY).any(axis=2).mean()
    assert 0 < covered < 2 * COVERED[1]


def test_confetti_differs_in_colour_and_size() -> None:
    images = [with_confetti(GREY, np.random.default_rng(seed)) for seed in range(20)]
    shares = [(image != GREY).any(axis=2).mean() for image in images]
    assert min(shares) < 0.1
    assert max(shares) > 0.2
    colours = np.array([image[(image != GREY).any(axis=2)].mean(axis=0) for image in images])
    assert (colours.std(axis=0) > 10).all()


def head_in_the_middle() -> np.ndarray:
    cells = np.arange(SIDE_PX // STRIDE_PX) - SIDE_PX / STRIDE_PX / 2 + 0.5
    return np.exp(-(cells[:, np.newaxis] ** 2 + cells**2) / 2).astype(np.float32)


@given(seed=st.integers(0, 2**32))
def test_litter_avoids_heads(seed: int) -> None:
    image, density = GREY.copy(), head_in_the_middle()
    cluttered = with_ground_clutter(image, density, np.random.default_rng(seed))
    middle = slice((SIDE_PX - STRIDE_PX) // 2, (SIDE_PX + STRIDE_PX) // 2)
    np.testing.assert_array_equal(cluttered[middle, middle], GREY[middle, middle])
    np.testing.assert_array_equal(image, GREY)
    np.testing.assert_array_equal(density, head_in_the_middle())


def test_litter_leaves_a_crowd_without_ground_unchanged() -> None:
    cluttered = [with_ground_clutter(GREY, np.ones_like(DENSITY), np.random.default_rng(seed)) for seed in range(5)]
    assert all(np.array_equal(image, GREY) for image in cluttered)


def test_litter_varies_in_coverage_and_colour() -> None:
    images = [with_ground_clutter(GREY, np.zeros_like(DENSITY), np.random.default_rng(seed)) for seed in range(40)]
    flakes = [image[(image != GREY).any(axis=2)] for image in images]
    shares = np.array([len(pixels) / SIDE_PX**2 for pixels in flakes])
    assert shares.min() < 0.1
    assert shares.max() > 0.8
    colours = np.array([pixels.mean(axis=0) for pixels in flakes if len(pixels)])
    assert (colours.std(axis=0) > 10).all()


@given(seed=st.integers(0, 2**32))
def test_patch_removes_exactly_the_hidden_people(seed: int) -> None:
    image, density = with_cutout(GREY, DENSITY, black, np.random.default_rng(seed))
    hidden = (image == 0).all(axis=2)
    cells = np.kron(density == 0, np.ones((STRIDE_PX, STRIDE_PX), bool))
    np.testing.assert_array_equal(hidden, cells)
    assert 0 < hidden.mean() < 0.5
    np.testing.assert_array_equal(image[~hidden], GREY[~hidden])
    np.testing.assert_array_equal(density[density > 0], DENSITY[density > 0])


def test_patch_does_not_modify_its_inputs() -> None:
    image, density = GREY.copy(), DENSITY.copy()
    with_cutout(image, density, black, np.random.default_rng(0))
    np.testing.assert_array_equal(image, GREY)
    np.testing.assert_array_equal(density, DENSITY)


def test_light_changes_brightness_and_sometimes_removes_colour() -> None:
    draw = np.random.default_rng(0)
    image = np.tile(np.array([160, 100, 60], np.uint8), (16, 16, 1))
    found = np.array([with_colour_jitter(image, draw)[0, 0] for _ in range(200)], float)
    assert found.mean(axis=1).min() < 85
    assert found.mean(axis=1).max() > 125
    assert np.ptp(found, axis=1).min() < 10
    assert np.ptp(found, axis=1).max() > 110


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    Image.fromarray(GREY).save(tmp_path / "photo.png")
    return Sample(tmp_path / "photo.png", np.array([[40.0, 40.0], [90.0, 80.0]]), "made", "train")


def crops_of(sample: Sample, **shares: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    config = CropConfig(1, SIDE_PX // STRIDE_PX, sigma_px=2.0, negatives=2, negative_kinds="grey", **shares)
    photos = Photos([sample], config, IMAGENET_TORCH, None)
    return [photos.batch(step) for step in range(12)]


def test_confetti_litter_and_light_keep_every_head(sample: Sample) -> None:
    found = crops_of(sample, negative_share=0.0, confetti=1.0, ground_clutter=1.0, colour_jitter=1.0)
    assert all(target.sum() == pytest.approx(2, abs=1e-3) for _, target in found)
    assert len({source.tobytes() for source, _ in found}) == len(found)


def test_patches_remove_heads(sample: Sample) -> None:
    found = crops_of(sample, negative_share=0.0, cutout=1.0)
    counts = np.array([target.sum() for _, target in found])
    assert counts.min() < 1.5
    assert counts.max() <= 2.001


def test_zero_shares_leave_windows_unchanged(sample: Sample) -> None:
    first, *others = crops_of(sample, negative_share=0.0)
    assert all(np.array_equal(first[0], source) for source, _ in others)


@pytest.mark.parametrize("name", ["confetti", "ground_clutter", "cutout", "colour_jitter", "negative_share"])
def test_share_outside_of_0_to_1_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"--{name.replace('_', '-')} 1.5: expected a share"):
        CropConfig(**{name: 1.5})


def test_patches_without_images_are_refused() -> None:
    with pytest.raises(ValueError, match="give some --negatives"):
        CropConfig(negatives=0, cutout=0.3)
