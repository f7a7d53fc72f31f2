"""Small labelled datasets: photos of one brightness in every layout, and photos of dots."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

WIDTH, HEIGHT = 96, 80
PHOTOS = ((255, 100), (204, 110), (102, 9), (51, 8), (0, 0))
"""(grey, heads) of each photo of a dataset."""


def write_dataset(layout: str, folder: Path, photos: tuple[tuple[int, int], ...] = PHOTOS) -> list[Path]:
    """Write a dataset of (grey, heads) photos; their image files in order."""
    return [WRITERS[layout](folder, number, *photo) for number, photo in enumerate(photos, start=1)]


def write_dotted_photos(folder: Path, photos: int = 11) -> Path:
    """Write photos of 96x72 px in the layout of UCF_CC_50: white dots on grey, one per head."""
    draw = np.random.default_rng(0)
    for n in range(photos):
        points = draw.uniform(8, [88, 64], (n + 1, 2))
        pixels = np.full((72, 96, 3), 90, np.uint8)
        for x, y in points.astype(int):
            pixels[y - 2 : y + 2, x - 2 : x + 2] = 250
        Image.fromarray(pixels).save(folder / f"{n}.png")
        savemat(folder / f"{n}_ann.mat", {"annPoints": points})
    return folder


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
