"""Windows and their targets."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from training.gpu.packed import Photo
from training.gpu.targets import targets
from training.gpu.window_config import SHARES, WindowConfig
from training.gpu.windows import Windows

PLAIN = WindowConfig(height=128, width=192, batch=3, scales=(1.0, 1.0), **dict.fromkeys(SHARES, 0.0))
WHITE = 255


def photo(height: int, width: int, heads: int = 30) -> Photo:
    """A black photo with a white square of 4 px on each head; heads are 8 px apart or more."""
    draw = np.random.default_rng(heads)
    cells = draw.choice((height // 8 - 2) * (width // 8 - 2), heads, replace=False)
    rows, columns = np.divmod(cells, width // 8 - 2)
    points = np.stack([columns * 8 + 12.0, rows * 8 + 12.0], axis=1)
    image = np.zeros((height, width, 3), np.uint8)
    for x, y in points.astype(int):
        image[y - 2 : y + 2, x - 2 : x + 2] = WHITE
    return Photo(image, points)


def windows(material: Photo, count: int = 8, empty: bool = False, **changes: Any) -> list[tuple[np.ndarray, ...]]:
    config = dataclasses.replace(PLAIN, **changes)
    grey = [np.full((96, 96, 3), 128, np.uint8)] if empty else []
    drawn = Windows([(1.0, [material])], grey, config)
    draw = np.random.default_rng(5)
    return [drawn.window(draw) for _ in range(count)]


def seen(image: np.ndarray) -> np.ndarray:
    """White pixels per cell of 8 px, in heads of 16 px."""
    rows, columns = image.shape[0] // 8, image.shape[1] // 8
    return (image[..., 0] == WHITE).reshape(rows, 8, columns, 8).sum(axis=(1, 3)) / 16


def test_window_shows_the_heads_that_its_targets_hold() -> None:
    """Of larger photos, mirrored half of the time."""
    found = windows(photo(256, 320), count=12)
    for image, density, heads in found:
        assert heads.sum() == pytest.approx(seen(image).sum(), abs=4), "heads at the edge are cut"
        assert density.sum() == pytest.approx(heads.sum(), abs=5)
    assert len({image.tobytes() for image, _, _ in found}) > 6


def test_whole_photo_is_seen_mirrored_and_not_with_its_heads_in_place() -> None:
    material = photo(128, 192)
    found = windows(material)
    mirrored = [bool((image[:, ::-1] == material.image).all()) for image, _, _ in found]
    assert {True, False} == set(mirrored)
    for (image, density, heads), flipped in zip(found, mirrored, strict=True):
        assert flipped or (image == material.image).all()
        np.testing.assert_array_equal(heads, seen(image))
        assert heads.sum() == len(material.points)
        assert density.sum() == pytest.approx(len(material.points), rel=0.05)


def test_photo_that_is_smaller_than_the_window_keeps_its_heads() -> None:
    material = photo(64, 96, heads=9)
    for image, density, heads in windows(material):
        assert heads.sum() == 9
        assert density.sum() == pytest.approx(9, rel=0.1)
        assert not image[64:].any()


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_resized_photo_keeps_the_heads_on_its_squares(scale: float) -> None:
    for image, _, heads in windows(photo(512, 768, heads=200), scales=(scale, scale)):
        bright = image[..., 0].reshape(16, 8, 24, 8).max(axis=(1, 3))
        assert heads.sum() > 2
        assert (bright[heads > 0] > 100).all()


def test_cutout_removes_the_heads_that_it_hides() -> None:
    found = windows(photo(128, 192), cutout=1.0, empty=True)
    assert any(heads.sum() < 30 for _, _, heads in found)
    for image, density, heads in found:
        np.testing.assert_array_equal(heads, seen(image))
        hidden = image[..., 0].reshape(16, 8, 24, 8).transpose(0, 2, 1, 3).reshape(16, 24, 64) == 128
        assert hidden.all(axis=-1).any()
        assert not density[hidden.all(axis=-1)].any()


def test_tiled_photo_multiplies_its_heads() -> None:
    """Four copies of a quarter fill the window; of nine, which are 64 px high at least, it shows two rows."""
    found = windows(photo(128, 192, heads=7), count=12, tiled=1.0)
    assert {int(heads.sum()) for _, _, heads in found} == {4 * 7, 6 * 7}


def test_empty_window_has_no_heads() -> None:
    config = dataclasses.replace(PLAIN, empty=1.0)
    drawn = Windows([(1.0, [photo(128, 192)])], [np.full((96, 96, 3), 128, np.uint8)], config)
    image, density, heads = drawn.window(np.random.default_rng(0))
    assert (image == 128).all()
    assert not density.any()
    assert not heads.any()


def test_disturbed_window_keeps_its_targets() -> None:
    disturbed = dict.fromkeys(("clutter", "confetti", "jitter", "grey", "blur", "jpeg"), 1.0)
    for image, _, heads in windows(photo(128, 192), count=4, **disturbed):
        assert image.shape == (128, 192, 3)
        assert image.dtype == np.uint8
        assert heads.sum() == 30


def test_batches_are_reproducible_and_follow_the_shares() -> None:
    sets = [(3.0, [photo(128, 192, heads=1)]), (1.0, [photo(128, 192, heads=40)])]
    drawn = Windows(sets, [], PLAIN)
    first, again, other = (next(drawn.batches((0, worker))) for worker in (1, 1, 2))
    for part, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(part, same)
    assert first[0].shape == (3, 128, 192, 3)
    assert first[1].shape == first[2].shape == (3, 16, 24)
    assert not np.array_equal(first[0], other[0])
    draw = np.random.default_rng(1)
    few = sum(drawn.window(draw)[2].sum() == 1 for _ in range(80))
    assert 45 <= few <= 75


def test_head_outside_gives_its_part_of_the_density_and_is_no_head() -> None:
    density, heads = targets(np.array([[-4.0, 60.0], [300.0, 20.0], [60.0, 60.0]]), 128, 128, 8.0)
    assert heads.sum() == heads[7, 7] == 1
    assert 1.3 < density.sum() < 1.5
    assert not targets(np.zeros((0, 2)), 64, 64, 8.0)[0].any()


@pytest.mark.parametrize("sigma", [1.0, 4.0, 20.0])
def test_density_sums_to_the_heads_at_any_width(sigma: float) -> None:
    points = np.random.default_rng(2).uniform(100, 156, (50, 2))
    density, _ = targets(points, 256, 256, sigma)
    assert density.sum() == pytest.approx(50, rel=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height": 100}, "--height 100: must be a multiple of 64 px"),
        ({"width": 0}, "--width 0: must be a multiple"),
        ({"batch": 0}, "--batch 0: must be at least 1"),
        ({"scales": (1.6, 0.6)}, "--scales 1.6 0.6: expected two factors over 0"),
        ({"scales": (0.5,)}, "--scales 0.5: expected two"),
        ({"sigma_px": 0.0}, "--sigma-px 0.0: must be over 0"),
        ({"own_scale": 1.2}, "--own-scale 1.2: a share is from 0 to 1"),
    ],
)
def test_invalid_windows_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WindowConfig(**fields)
