import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from crowdserve.errors import PlatformError
from crowdserve.evaluation.scatter import COLOURS, check_matplotlib, draw_scatter
from tests.support.predictions import make_prediction


def colours_in(path: Path) -> set[str]:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    # Dots are drawn at 70 % on white.
    shades = {route: np.array(ImageColor.getrgb(colour)) * 0.7 + 255 * 0.3 for route, colour in COLOURS.items()}
    return {route for route, shade in shades.items() if (np.abs(pixels - shade).max(axis=1) < 4).any()}


@pytest.mark.parametrize("least", [0, 1, 30])
def test_every_route_has_its_own_colour(tmp_path: Path, least: int) -> None:
    rows = [
        make_prediction(least + 90 * n, least + 70.0 * n, route=route)
        for n, route in enumerate(["dense", "sparse"] * 3)
    ]
    draw_scatter(rows, tmp_path / "scatter.png")
    assert colours_in(tmp_path / "scatter.png") == {"dense", "sparse"}


def test_one_photo_without_people_can_be_drawn(tmp_path: Path) -> None:
    draw_scatter([make_prediction(0, 0.0, route="dense+sparse")], tmp_path / "scatter.png")
    assert colours_in(tmp_path / "scatter.png") == {"dense+sparse"}


def test_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    check_matplotlib()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlatformError, match=r"pip install 'crowdserve\[evaluate\]'"):
        check_matplotlib()
