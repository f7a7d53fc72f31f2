"""Data sets in one file that is small enough to be carried to a GPU: image files as they are, head points, the split.

    python -m training.gpu.packed part_A/train_data part_a.npz

The split is that of the other trainings, so a photo that validates here has never been learnt from. Official test
halves are left out.
"""

import argparse
import io
import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crowdserve.datasets import Points, load_to_learn_from, split_samples
from crowdserve.errors import CrowdServeError, DatasetError
from crowdserve.images import Rgb, decode_image
from crowdserve.whole_files import write_whole


@dataclass(frozen=True, slots=True)
class Photo:
    """A labelled photo in memory.

    Attributes:
        image: uint8 [height, width, 3].
        points: Heads [heads, 2], (x, y) in px.
    """

    image: Rgb
    points: Points


@dataclass(frozen=True, slots=True)
class PackedSet:
    """A packed file's content.

    Attributes:
        name: The file's name without its ending.
        data: The data sets in it and their halves, for the record of a run.
        training: Photos to learn from.
        validation: Photos that validate.
    """

    name: str
    data: list[str]
    training: list[Photo]
    validation: list[Photo]


def pack(folders: Sequence[Path], target: Path, seed: int = 0) -> str:
    """Write data sets to a file; returns a line that says what it holds.

    Args:
        folders: Data sets in any layout of `crowdserve.datasets`.
        target: The .npz file.
        seed: Seed of the split.

    Raises:
        DatasetError: If a folder holds no data set, or only an official test half.
    """
    samples = load_to_learn_from(folders)
    validates = {sample.image for sample in split_samples(samples, seed)["validate"]}
    files = [np.frombuffer(sample.image.read_bytes(), np.uint8) for sample in samples]
    held = np.array([sample.image in validates for sample in samples])
    content = io.BytesIO()
    np.savez(
        content,
        files=np.concatenate(files),
        file_ends=np.cumsum([len(file) for file in files]),
        points=np.concatenate([sample.points.astype(np.float32).reshape(-1, 2) for sample in samples]),
        point_ends=np.cumsum([sample.count for sample in samples]),
        validates=held,
        data=np.array(sorted({f"{sample.dataset} {sample.subset}".strip() for sample in samples})),
    )
    write_whole(target, content.getvalue())
    heads = sum(sample.count for sample in samples)
    return f"{len(samples)} photos, {heads} heads, {held.sum()} to validate; {target.stat().st_size / 1e6:.1f} MB"


def read_packed(path: Path) -> PackedSet:
    """The content of a packed file, with its photos decoded.

    Raises:
        DatasetError: If the file is missing, damaged or of another kind, or has no photo to learn from or to validate.
        ImageError: If a photo cannot be decoded.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            files = np.split(data["files"], data["file_ends"][:-1])
            points = np.split(data["points"].astype(np.float64), data["point_ends"][:-1])
            validates, names = data["validates"], data["data"].tolist()
    except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as err:
        raise DatasetError(
            f"{path} is missing, damaged or no packed data set ({err}); write one with python -m training.gpu.packed"
        ) from err
    if not len(files) == len(points) == len(validates):
        raise DatasetError(f"{path} has {len(files)} photos and heads of {len(points)}; pack the data sets again")
    if validates.all() or not validates.any():
        raise DatasetError(f"{path} has {len(files)} photos, too few to learn from some and validate on others")
    with ThreadPoolExecutor() as pool:
        photos = list(pool.map(lambda file, heads: Photo(decode_image(file.tobytes()), heads), files, points))
    halves = {held: [photo for photo, own in zip(photos, validates, strict=True) if own == held] for held in (0, 1)}
    return PackedSet(path.stem, names, halves[0], halves[1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.gpu.packed", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET", help="folder of labelled photos")
    parser.add_argument("target", type=Path, help=".npz file to write")
    options = parser.parse_args(arguments)
    try:
        print(pack(options.datasets, options.target))
    except CrowdServeError as err:
        sys.exit(f"error: {err}")


if __name__ == "__main__":
    main()
