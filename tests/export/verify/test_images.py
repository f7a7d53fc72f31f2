from pathlib import Path

import numpy as np
import pytest

from crowdserve.cards import CARDS, VGG16
from crowdserve.errors import SetupError
from export.verify.images import check_images, read_photo, scaled

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def test_three_aspect_ratios_in_batches_of_two_and_one() -> None:
    geometry = CARDS["csrnet_a"].geometry
    shapes = [images.shape for images in check_images(PHOTO, geometry)]
    assert [shape[0] for shape in shapes] == [2, 1] * 3
    sizes = {shape[1:3] for shape in shapes}
    assert len({height / width for height, width in sizes}) == 3
    for height, width in sizes:
        assert height % geometry.pad_multiple == width % geometry.pad_multiple == 0
        assert geometry.min_side_px <= min(height, width) <= max(height, width) <= geometry.max_side_px


def test_fixed_size_network_gets_its_size() -> None:
    assert [p.shape for p in check_images(PHOTO, VGG16.geometry)] == [(2, 224, 224, 3), (1, 224, 224, 3)]


def test_batch_holds_two_different_images() -> None:
    pair, single = check_images(PHOTO, VGG16.geometry)
    np.testing.assert_array_equal(pair[0], single[0])
    np.testing.assert_array_equal(pair[1], single[0, :, ::-1])
    assert (pair[0] != pair[1]).any()


def test_scaled_has_the_height_first() -> None:
    assert scaled(PHOTO, 11, 23).shape == (1, 11, 23, 3)


def test_missing_photo_suggests_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"cannot read the photo .*--photo"):
        read_photo(tmp_path / "none.jpg")
