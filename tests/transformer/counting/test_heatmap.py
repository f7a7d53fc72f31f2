import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crowdserve.images import Density, Rgb
from crowdserve.images.heat import cell_side_px, colour_table, heat, overlay
from crowdserve_transformer.counting.heatmap import overlay_png

GRAY = 100


def gray(height: int, width: int) -> Rgb:
    return np.full((height, width, 3), GRAY, np.uint8)


def one_head(rows: int, columns: int, row: int, column: int) -> Density:
    density = np.zeros((rows, columns), np.float32)
    density[row, column] = 1.0
    return density


def luminance(colours: np.ndarray) -> np.ndarray:
    return colours @ np.array([0.2126, 0.7152, 0.0722])


def hottest(strength: np.ndarray) -> tuple[float, float]:
    """The centre of the hottest pixels: row, column."""
    rows, columns = np.nonzero(strength > 0.98 * strength.max())
    return float(rows.mean()) + 0.5, float(columns.mean()) + 0.5


def decoded(png: bytes) -> Rgb:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def test_lightness_increases_with_heat() -> None:
    table = colour_table()
    assert table.shape == (256, 3)
    assert (np.diff(luminance(table)) > 0).all()


def test_heat_is_at_the_head() -> None:
    height, width, cell = 96, 160, 8
    strength = heat(one_head(12, 20, 4, 15), height, width)
    assert hottest(strength) == pytest.approx(((4 + 0.5) * cell, (15 + 0.5) * cell), abs=1)
    assert strength.max() == pytest.approx(1.0, abs=0.02)
    assert (strength[:, : 12 * cell] == 0).all()


def test_last_cells_may_exceed_the_border() -> None:
    """A head in the last cell of a 77x93 px image: its cells cover 80x96 px and are not scaled."""
    strength = heat(one_head(10, 12, 5, 6), 77, 93)
    assert hottest(strength) == pytest.approx((44, 52), abs=1)


def test_cells_of_a_small_image_have_the_given_size() -> None:
    """2x2 cells of 16 px over 18x18 px: only two pixels of the last ones are visible."""
    density = np.array([[1, 0], [0, 0]], np.float32)
    given = heat(density, 18, 18, 16)
    guessed = heat(density, 18, 18)
    assert cell_side_px(density, 18, 18) == 9
    np.testing.assert_allclose(given, heat(density, 32, 32)[:18, :18], atol=1e-6)
    assert given[16, 16] > guessed[16, 16]


@given(height=st.integers(1, 700), width=st.integers(1, 700), stride=st.sampled_from([8, 16]))
def test_any_image_size_is_drawn(height: int, width: int, stride: int) -> None:
    density = np.full((-(-height // stride), -(-width // stride)), 0.5, np.float32)
    assert cell_side_px(density, height, width) <= stride
    if max(height, width) > stride * stride:
        assert cell_side_px(density, height, width) == stride
    strength = heat(density, height, width)
    assert strength.shape == (height, width)
    assert strength.min() > 0.9


def test_photo_without_people_is_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    np.testing.assert_array_equal(overlay(image, np.zeros((8, 12), np.float32)), image)


def test_low_density_is_nearly_invisible() -> None:
    floor = np.full((96, 128), 2.0 / (96 * 128), np.float32)  # two people smeared over the whole photo
    change = overlay(gray(768, 1024), floor).astype(int) - GRAY
    crowd = overlay(gray(768, 1024), np.full((96, 128), 0.3, np.float32)).astype(int) - GRAY
    assert np.abs(change).max() < 8
    assert np.abs(crowd).max() > 100


def test_more_people_change_more_pixels() -> None:
    density = np.repeat(np.linspace(0.01, 1, 16, dtype=np.float32), 4)[np.newaxis].repeat(8, axis=0)
    strength = heat(density, 64, 512)[32, 16:-16]
    assert (np.diff(strength) >= -1e-3).all()
    assert strength[-1] > strength[0] + 0.5


def test_negative_cells_are_drawn_as_zero() -> None:
    density = one_head(8, 8, 2, 2)
    expected = heat(density, 64, 64)
    density[6, 6] = -5.0
    np.testing.assert_array_equal(heat(density, 64, 64), expected)


def test_png_has_the_size_of_the_image_and_a_caption() -> None:
    image, density = gray(240, 320), one_head(30, 40, 10, 10)
    plain = decoded(overlay_png(image, density))
    captioned = decoded(overlay_png(image, density, people=1234.4))
    assert plain.shape == captioned.shape == image.shape
    differs = (plain != captioned).any(axis=2)
    rows, columns = np.nonzero(differs)
    assert rows.min() > 200
    assert columns.min() == 0
    assert columns.max() < 200
    assert (captioned[differs] == 255).all(axis=1).any()


def test_other_counts_look_different() -> None:
    image, density = gray(240, 320), one_head(30, 40, 10, 10)
    captions = [overlay_png(image, density, people=people) for people in (1.0, 11.0, 111.0)]
    assert len(set(captions)) == 3


def test_tiny_image_has_no_caption() -> None:
    image, density = gray(9, 9), np.ones((2, 2), np.float32)
    assert decoded(overlay_png(image, density, people=4.0)).shape == (9, 9, 3)
    assert overlay_png(image, density, people=4.0) == overlay_png(image, density)
