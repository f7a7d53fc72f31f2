"""Tiny data sets of even greys in each layout, whose counts by the small models are known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from crowdserve.cards import ROUTES
from crowdserve.evaluation.predictions import Prediction, count_column

WIDTH, HEIGHT = 96, 80
PHOTOS = ((255, 100), (204, 110), (102, 9), (51, 8), (0, 0))
"""(grey, heads) of each photo of a data set."""


PLAIN = {
    "folder": "camera",
    "dataset": "ucf-cc-50",
    "subset": "",
    "key": "ucf-cc-50-1",
    "image": "/camera/1.jpg",
    "scene": "dense",
    "scene_probability": 0.75,
    "route": "dense",
    "models": {"csrnet_a": "1"},
    "milliseconds": 1.5,
}


def _photo(path: Path, grey: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (grey,) * 3).save(path, quality=100)
    return path


def _points(heads: int) -> np.ndarray:
    return np.ones((heads, 2))


def _shanghaitech(root: Path, number: int, grey: int, heads: int) -> Path:
    half = root / "part_B" / "test_data"
    info, inner = np.empty((1, 1), dtype=object), np.zeros((1, 1), dtype=[("location", object), ("number", object)])
    inner[0, 0], info[0, 0] = (_points(heads), np.array([[heads]])), inner
    (half / "ground-truth").mkdir(parents=True, exist_ok=True)
    savemat(half / "ground-truth" / f"GT_IMG_{number}.mat", {"image_info": info})
    return _photo(half / "images" / f"IMG_{number}.jpg", grey)


def _ucf_qnrf(root: Path, number: int, grey: int, heads: int) -> Path:
    image = _photo(root / "Test" / f"img_{number:04}.jpg", grey)
    savemat(image.with_name(f"{image.stem}_ann.mat"), {"annPoints": _points(heads)})
    return image


def _ucf_cc_50(root: Path, number: int, grey: int, heads: int) -> Path:
    image = _photo(root / f"{number}.jpg", grey)
    savemat(root / f"{number}_ann.mat", {"annPoints": _points(heads)})
    return image


def _jhu_crowd(root: Path, number: int, grey: int, heads: int) -> Path:
    (root / "test" / "gt").mkdir(parents=True, exist_ok=True)
    (root / "test" / "gt" / f"{number:04}.txt").write_text("1 1 9 9 1 0\n" * heads)
    return _photo(root / "test" / "images" / f"{number:04}.jpg", grey)


def _nwpu_crowd(root: Path, number: int, grey: int, heads: int) -> Path:
    (root / "jsons").mkdir(parents=True, exist_ok=True)
    (root / "jsons" / f"{number:04}.json").write_text(json.dumps({"points": _points(heads).tolist()}))
    with (root / "val.txt").open("a") as listed:
        listed.write(f"{number:04} 0 0\n")
    return _photo(root / "images" / f"{number:04}.jpg", grey)


WRITERS = {
    "shanghaitech": _shanghaitech,
    "ucf-qnrf": _ucf_qnrf,
    "ucf-cc-50": _ucf_cc_50,
    "jhu-crowd": _jhu_crowd,
    "nwpu-crowd": _nwpu_crowd,
}


@pytest.fixture
def write_dataset() -> Callable[..., list[Path]]:
    """`write_dataset(layout, folder, photos)`: writes a data set of (grey, heads) photos; their files in order."""

    def write(layout: str, folder: Path, photos: tuple[tuple[int, int], ...] = PHOTOS) -> list[Path]:
        return [WRITERS[layout](folder, number, *photo) for number, photo in enumerate(photos, start=1)]

    return write


@pytest.fixture(scope="session")
def people() -> Callable[[int, str], float]:
    """`people(grey, route)`: what the small models find in an even grey."""
    cells = (WIDTH // 8) * (HEIGHT // 8)
    return lambda grey, route: cells * grey / 255 * (1.0 if route == "dense" else 0.25)


@pytest.fixture(scope="session")
def prediction() -> Callable[..., Prediction]:
    """`prediction(true, predicted, routes=(dense, sparse), **fields)`: a test names what it is about."""

    def make(
        true: int = 10, predicted: float = 10.0, routes: tuple[float, float] | None = None, **fields: Any
    ) -> Prediction:
        counts = {count_column(None, route): n for route, n in zip(ROUTES, routes or (), strict=False)}
        return Prediction(**{**PLAIN, "true_count": true, "predicted_count": predicted, "counts": counts, **fields})

    return make
