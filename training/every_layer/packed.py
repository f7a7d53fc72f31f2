"""Data sets in one file that is small enough to be carried to a GPU: JPEG files as they are, head points, the split.

    python -m training.every_layer.packed part_A/train_data part_a.npz

The split is that of the other trainings, so a photo that validates here has never been learnt from.
"""

import argparse
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from crowdserve.datasets import Points, load_to_learn_from, split_samples
from crowdserve.images import Rgb


@dataclass(frozen=True, slots=True)
class Photo:
    """A labelled photo in memory.

    Attributes:
        image: uint8 [height, width, 3].
        points: Heads [heads, 2], (x, y) in px.
    """

    image: Rgb
    points: Points


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
    validate = {sample.image for sample in split_samples(samples, seed)["validate"]}
    files = [np.frombuffer(sample.image.read_bytes(), np.uint8) for sample in samples]
    held = np.array([sample.image in validate for sample in samples])
    np.savez(
        target,
        jpeg=np.concatenate(files),
        jpeg_ends=np.cumsum([len(file) for file in files]),
        points=np.concatenate([sample.points.astype(np.float32).reshape(-1, 2) for sample in samples]),
        point_ends=np.cumsum([sample.count for sample in samples]),
        validate=held,
    )
    heads = sum(sample.count for sample in samples)
    return f"{len(samples)} photos, {heads} heads, {held.sum()} to validate; {target.stat().st_size / 1e6:.1f} MB"


def read_packed(path: Path, *, validate: bool) -> list[Photo]:
    """The photos of a packed file that are learnt from, or those that validate."""
    with np.load(path) as data:
        files = np.split(data["jpeg"], data["jpeg_ends"][:-1])
        points = np.split(data["points"].astype(np.float64), data["point_ends"][:-1])
        chosen = np.flatnonzero(data["validate"] == validate)

    def photo(index: int) -> Photo:
        with Image.open(io.BytesIO(files[index].tobytes())) as image:
            return Photo(np.array(image.convert("RGB")), points[index])

    with ThreadPoolExecutor() as pool:
        return list(pool.map(photo, chosen.tolist()))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="+", help="data set to pack")
    parser.add_argument("target", type=Path, help=".npz file to write")
    options = parser.parse_args()
    print(pack(options.folder, options.target))


if __name__ == "__main__":
    main()
