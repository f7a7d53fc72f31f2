"""Crowd-counting data sets on disk: five layouts, one `Sample`.

| name | layout | ground truth |
|---|---|---|
| shanghaitech | `part_{A,B}[_final]/{train,test}_data/{images,ground[-_]truth}` | `GT_IMG_n.mat`, image_info |
| ucf-qnrf | `{Train,Test}/img_0001.jpg` | `img_0001_ann.mat`, annPoints |
| ucf-cc-50 | `1.jpg` | `1_ann.mat`, annPoints |
| jhu-crowd | `{train,val,test}/{images,gt}` | `0001.txt`, `x y w h ...` per line |
| nwpu-crowd | `images/`, `jsons/`, `{train,val,test}.txt` | `0001.json`, points |

`load_dataset` detects a folder's layout. Points are head positions, (x, y) in pixels of the upright image.
"""

import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crowdserve.errors import DatasetError

Points = npt.NDArray[np.float64]
"""float64 [heads, 2], (x, y) in pixels."""

Split = Literal["train", "test", "validate"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled photo.

    Attributes:
        image: Path of the photo.
        points: Head points [heads, 2]; a few lie outside the image in some data sets.
        dataset: Layout name, for instance "shanghaitech".
        subset: The data set's own part and half, for instance "A/train"; empty where it has none.
    """

    image: Path
    points: Points = field(repr=False, compare=False)
    dataset: str
    subset: str

    @property
    def count(self) -> int:
        """Number of labelled heads."""
        return len(self.points)

    @property
    def is_official_test(self) -> bool:
        """Whether the photo is in the data set's official test half, never used for training or model selection."""
        return self.subset.rpartition("/")[2] == "test"

    @property
    def key(self) -> str:
        """A name that is unique among data sets and fit for a file name."""
        return "-".join([self.dataset, *filter(None, self.subset.split("/")), self.image.stem])


def load_dataset(folder: Path) -> list[Sample]:
    """Every labelled photo below a data set's folder, in a stable order.

    Args:
        folder: A data set's root, or one of its parts or halves.

    Raises:
        DatasetError: If the folder has none of the five layouts, or a photo lacks its ground truth.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; give the root of a data set")
    for load in LAYOUTS.values():
        samples = sorted(load(folder), key=lambda s: (s.subset, _natural(s.image.name)))
        if samples:
            return samples
    raise DatasetError(f"{folder} holds none of the layouts {', '.join(LAYOUTS)}; see `crowdserve.datasets`")


def load_to_learn_from(folders: Iterable[Path]) -> list[Sample]:
    """Every labelled photo of data sets except their official test halves, which are for final evaluation only.

    Args:
        folders: Root folders of data sets, or parts of them.

    Raises:
        DatasetError: As `load_dataset`, or if a folder holds only an official test half.
    """
    samples: list[Sample] = []
    for folder in folders:
        found = [sample for sample in load_dataset(folder) if not sample.is_official_test]
        if not found:
            raise DatasetError(
                f"{folder} holds only an official test half, which is kept for evaluation; give the training half, and "
                "photos of your own in a folder called train"
            )
        samples += found
    return samples


def load_shanghaitech(folder: Path) -> Iterator[Sample]:
    """ShanghaiTech Part A and B: `mat["image_info"][0,0][0,0][0]` is [heads, 2]."""
    for images in _folders(folder, "images"):
        half = images.parent.name.removesuffix("_data")
        part = re.fullmatch(r"part_([AB])(_final)?", images.parent.parent.name)
        truths = [images.parent / name for name in ("ground-truth", "ground_truth")]
        truth = next((path for path in truths if path.is_dir()), None)
        if truth is None or part is None:
            continue
        for image in _image_files(images):
            points = _mat(truth / f"GT_{image.stem}.mat")["image_info"][0, 0][0, 0][0]
            yield Sample(image, _points(points), "shanghaitech", f"{part[1]}/{half}")


def load_ucf_qnrf(folder: Path) -> Iterator[Sample]:
    """UCF-QNRF: photos and `_ann.mat` files side by side in `Train` and `Test`."""
    for half in [folder, *(folder / name for name in ("Train", "Test"))]:
        if half.name in {"Train", "Test"} and half.is_dir():
            yield from _annotated(half, "ucf-qnrf", half.name.lower(), r"img_\d+")


def load_ucf_cc_50(folder: Path) -> Iterator[Sample]:
    """UCF_CC_50: `n.jpg` and `n_ann.mat` side by side."""
    return _annotated(folder, "ucf-cc-50", "", r"\d+")


def load_jhu_crowd(folder: Path) -> Iterator[Sample]:
    """JHU-CROWD++: `x y w h occlusion blur` per line; an empty file is a photo without people."""
    for images in _folders(folder, "images"):
        truth = images.parent / "gt"
        if not truth.is_dir():
            continue
        for image in _image_files(images):
            lines = _text(truth / f"{image.stem}.txt").splitlines()
            points = [[float(value) for value in line.split()[:2]] for line in lines if line.strip()]
            yield Sample(image, _points(points), "jhu-crowd", images.parent.name)


def load_nwpu_crowd(folder: Path) -> Iterator[Sample]:
    """NWPU-Crowd: `jsons/0001.json` with `points`; split files name one photo per line, first; test is unlabelled."""
    images, truths = folder / "images", folder / "jsons"
    if not images.is_dir() or not truths.is_dir():
        return
    for split in ("train", "val"):
        listed = folder / f"{split}.txt"
        for line in _text(listed).splitlines() if listed.exists() else ():
            if name := line.split()[:1]:
                points = json.loads(_text(truths / f"{name[0]}.json"))["points"]
                yield Sample(images / f"{name[0]}.jpg", _points(points), "nwpu-crowd", split)


LAYOUTS: dict[str, Callable[[Path], Iterable[Sample]]] = {
    "shanghaitech": load_shanghaitech,
    "ucf-qnrf": load_ucf_qnrf,
    "jhu-crowd": load_jhu_crowd,
    "nwpu-crowd": load_nwpu_crowd,
    "ucf-cc-50": load_ucf_cc_50,
}
"""Layout name -> loader; a loader yields nothing for a folder of another layout."""


def split_samples(samples: Iterable[Sample], seed: int) -> dict[Split, list[Sample]]:
    """Divide samples 80/10/10 into train, test and validate, the same way for every network.

    Stratified by data set part and by head count: the samples of a part are ordered by count, and of each ten
    neighbours one goes to test and one to validate, drawn with `seed`. The draw does not depend on which other parts
    are loaded.
    """
    splits: dict[Split, list[Sample]] = {"train": [], "test": [], "validate": []}
    parts: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        parts.setdefault((sample.dataset, sample.subset), []).append(sample)
    for (dataset, subset), part in parts.items():
        draw = random.Random(f"{seed}/{dataset}/{subset}")
        ordered = sorted(part, key=lambda s: (s.count, _natural(s.image.name)))
        for start in range(0, len(ordered), 10):
            ten = ordered[start : start + 10]
            test, validate = draw.sample(range(10), 2)
            for i, sample in enumerate(ten):
                splits["test" if i == test else "validate" if i == validate else "train"].append(sample)
    return splits


def _annotated(folder: Path, dataset: str, subset: str, stem: str) -> Iterator[Sample]:
    for image in _image_files(folder):
        truth = image.with_name(f"{image.stem}_ann.mat")
        if re.fullmatch(stem, image.stem) and (truth.exists() or dataset == "ucf-qnrf"):
            yield Sample(image, _points(_mat(truth)["annPoints"]), dataset, subset)


def _folders(folder: Path, name: str) -> list[Path]:
    """Folders called `name` at most three levels below, or `folder` itself."""
    levels = (f"{'*/' * depth}{name}" for depth in range(4))
    found = [path for level in levels for path in sorted(folder.glob(level)) if path.is_dir()]
    return found or ([folder] if folder.name == name else [])


def _image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _points(values: Any) -> Points:
    return np.asarray(values, dtype=np.float64).reshape(-1, 2)


def _mat(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat  # the training extra has scipy, the serving image has not

    if not path.exists():
        raise DatasetError(f"{path} is missing: every photo needs its ground truth; unpack the data set again")
    content: dict[str, Any] = loadmat(path)
    return content


def _text(path: Path) -> str:
    if not path.exists():
        raise DatasetError(f"{path} is missing: every photo needs its ground truth; unpack the data set again")
    return path.read_text()
