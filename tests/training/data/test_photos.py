"""Training samples of generated images: padding, mirroring and caching of inputs and density maps."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crowdserve.cards import IMAGENET_TORCH
from crowdserve.datasets import Sample
from crowdserve.errors import DatasetError
from training.data.crop_config import CropConfig
from training.data.feature_cache import FeatureCache
from training.data.photos import STRIDE_PX, Photos

CONFIG = CropConfig(crops=2, crop_cells=8, sigma_px=2.0, negatives=0, mirrored=True)
POINTS = np.array([[10.0, 20.0], [70.0, 60.0], [12.0, 22.0]])


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """A photo of 90x70 px whose left third is bright."""
    image = np.zeros((70, 90, 3), np.uint8)
    image[:, :30] = 200
    Image.fromarray(image).save(tmp_path / "photo.png")
    return Sample(tmp_path / "photo.png", POINTS, "made", "train")


def mean_of_blocks(image: np.ndarray) -> np.ndarray:
    """A front-end of one channel: the mean of each cell."""
    rows, columns = (side // STRIDE_PX for side in image.shape[:2])
    cells = image[: rows * STRIDE_PX, : columns * STRIDE_PX].reshape(rows, STRIDE_PX, columns, STRIDE_PX, 3)
    return cells.mean(axis=(1, 3, 4))[..., np.newaxis]


@pytest.mark.parametrize(("multiple", "cells"), [(1, (8, 11)), (64, (16, 16))])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("cached", [False, True])
def test_input_and_density_map_share_a_grid_and_keep_every_head(
    sample: Sample, tmp_path: Path, multiple: int, cells: tuple[int, int], mirrored: bool, cached: bool
) -> None:
    cache = FeatureCache(tmp_path / "features", mean_of_blocks, "means") if cached else None
    photos = Photos([sample], CONFIG, IMAGENET_TORCH, cache, pad_multiple_px=multiple)
    source, target = photos.whole(0, mirrored=mirrored)
    assert target.shape == cells
    assert tuple(side // (1 if cached else STRIDE_PX) for side in source.shape[:2]) == cells
    assert target.sum() == pytest.approx(len(POINTS), abs=1e-3)
    bright = source[: cells[0] // 2].mean(axis=(0, 2))
    photo_columns = len(bright) * 88 // (cells[1] * 8)
    left, right = bright[: photo_columns // 3].mean(), bright[photo_columns * 2 // 3 : photo_columns].mean()
    assert (left < right) == mirrored
    heads_left = target[:, :4].sum()
    assert heads_left == pytest.approx(1 if mirrored else 2, abs=0.05)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("left", [7, 8, 9, 14, 15])
def test_head_is_in_the_cell_of_its_pixels_in_both_views(tmp_path: Path, left: int, mirrored: bool) -> None:
    image = np.zeros((70, 90, 3), np.uint8)
    image[20, left] = 255
    Image.fromarray(image).save(tmp_path / "photo.png")
    sample = Sample(tmp_path / "photo.png", np.array([[left + 0.5, 20.5]]), "made", "train")
    config = dataclasses.replace(CONFIG, sigma_px=0.1)
    photos = Photos([sample], config, IMAGENET_TORCH, FeatureCache(tmp_path / "features", mean_of_blocks, "means"))
    source, target = photos.whole(0, mirrored=mirrored)
    assert source[..., 0].argmax() == target.argmax()


def test_features_are_computed_once(sample: Sample, tmp_path: Path) -> None:
    seen = []

    def front_end(image: np.ndarray) -> np.ndarray:
        seen.append(image.shape)
        return mean_of_blocks(image)

    for _ in range(2):
        config = dataclasses.replace(CONFIG, negatives=2)
        Photos([sample], config, IMAGENET_TORCH, FeatureCache(tmp_path, front_end, "means"))
    assert len(seen) == 4  # the photo, its mirror image, two images without people


def test_cache_of_another_front_end_is_refused(tmp_path: Path) -> None:
    FeatureCache(tmp_path, mean_of_blocks, "means")
    with pytest.raises(DatasetError, match="another front-end"):
        FeatureCache(tmp_path, mean_of_blocks, "maxima")


@pytest.mark.parametrize("scale", [0.5, 1.3, 2.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_heads_of_a_scaled_window_match_its_pixels(tmp_path: Path, scale: float, mirrored: bool) -> None:
    """A bright square around each head, resized with the photo: brightest cells and heads coincide."""
    points = np.array([[20.0, 28.0], [84.0, 60.0]])
    image = np.zeros((96, 128, 3), np.uint8)
    for x, y in points.astype(int):
        image[y - 4 : y + 4, x - 4 : x + 4] = 255
    Image.fromarray(image).save(tmp_path / "photo.png")
    sample = Sample(tmp_path / "photo.png", points, "made", "train")
    cells = round(scale * 16)
    config = CropConfig(
        1, cells, sigma_px=2.0 * scale, negatives=0, mirrored=mirrored, min_scale=scale, max_scale=scale
    )
    photos = Photos([sample], config, IMAGENET_TORCH, FeatureCache(tmp_path / "features", mean_of_blocks, "means"))
    for step in range(4):
        (source,), (target,) = photos.batch(step)
        assert target.shape == source.shape[:2] == (cells, cells)
        assert target.sum() == pytest.approx(len(points), abs=1e-3)
        assert np.corrcoef(source[..., 0].ravel().astype(float), target.ravel())[0, 1] > 0.8


def test_windows_of_random_scale_are_not_cached(sample: Sample, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, min_scale=0.5, max_scale=2.0, negatives=2)
    photos = Photos([sample], config, IMAGENET_TORCH, FeatureCache(tmp_path, mean_of_blocks, "means"))
    for step in range(8):
        assert photos.batch(step)[0].shape == (2, 8, 8, 1)
    assert not list(tmp_path.glob("*.npy"))


def test_scale_and_its_inverse_are_equally_likely() -> None:
    draw = np.random.default_rng(0)
    scales = np.array([CropConfig(min_scale=0.5, max_scale=2.0).draw_scale(draw) for _ in range(4000)])
    assert 0.5 <= scales.min() < 0.51
    assert 1.96 < scales.max() <= 2.0
    assert np.median(scales) == pytest.approx(1.0, abs=0.05)
