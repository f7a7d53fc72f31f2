from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crowdserve.errors import DatasetError
from training.data.negatives import GREY, GREYS, KINDS, PHOTO_SIDE_PX, SIDE_PX, load_negatives, make_negatives, zoomed


def test_negatives_are_repeatable_and_distinct() -> None:
    images = make_negatives(24, seed=1)
    assert {(p.shape, p.dtype) for p in images} == {((SIDE_PX, SIDE_PX, 3), np.dtype(np.uint8))}
    assert len({p.tobytes() for p in images}) == 24  # all distinct
    assert [p.tobytes() for p in make_negatives(19, seed=1)] == [p.tobytes() for p in images[:19]]


def test_every_second_image_is_uniform_grey() -> None:
    images = make_negatives(2 * len(GREYS), seed=0)
    assert [int(p.mean()) for p in images[::2]] == list(GREYS)
    assert all(p.std() == 0 for p in images[::2])
    assert all(p.std() > 0 for p in images[1::2])


def test_kinds_are_in_the_requested_order() -> None:
    images = make_negatives(5, 2, ["tiles", GREY])
    assert [int(p.mean()) for p in images[1::2]] == list(GREYS[:2])
    draw = np.random.default_rng(2)
    assert [p.tobytes() for p in images[::2]] == [KINDS["tiles"](draw).tobytes() for _ in range(3)]


def save(folder: Path, name: str, width: int, height: int) -> None:
    shades = np.linspace(0, 255, width * height).reshape(height, width).astype(np.uint8)
    Image.fromarray(shades).save(folder / name)


def test_photos_are_sorted_and_sized_for_a_network(tmp_path: Path) -> None:
    save(tmp_path, "b.png", 1600, 1003)
    save(tmp_path, "a.JPG", 500, 391)
    (tmp_path / "notes.txt").write_text("no photo")
    photos = load_negatives(tmp_path, 8)
    assert [p.shape for p in photos] == [(384, 496, 3), (480, PHOTO_SIDE_PX, 3)]


def test_folder_without_usable_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="give a folder of photos"):
        load_negatives(tmp_path, 8)
    save(tmp_path, "small.png", 900, 200)
    with pytest.raises(DatasetError, match=r"small\.png is 768x168 px"):
        load_negatives(tmp_path, 8)


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0, 1.5])
def test_zoomed_image_fills_its_window(scale: float) -> None:
    """A smaller image is extended by reflection at the bottom and right."""
    across = np.linspace(10, 250, 64).astype(np.uint8)
    image = np.broadcast_to(across[np.newaxis, :, np.newaxis], (64, 64, 3))
    window = zoomed(image, scale, 48, np.random.default_rng(0))
    assert window.shape == (48, 48, 3)
    assert window.min() >= 10
    assert (window[0] == window[-1]).all()
    steps = np.abs(np.diff(window[0, :, 0].astype(int)))
    assert np.median(steps[steps > 0]) == pytest.approx(240 / (64 * scale), rel=0.35)
