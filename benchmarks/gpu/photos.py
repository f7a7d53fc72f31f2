"""Photos to compare counts on."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from crowdserve.errors import DatasetError, InvalidRequest
from crowdserve.images import Rgb, decode_image, fit_within

SIDE_PX, CPU_SIDE_PX = 1024, 128
"""Photos are scaled down to it."""

SMALL_SIDE_PX = 480
SMALL_PHOTOS = 10
"""So many photos come at the small size first, so that a short run has compared some."""

PATTERNS = ("*.jpg", "*.jpeg", "*.png", "*.webp")


def read_files(sources: list[Path]) -> list[bytes]:
    """The photos' files, from files, folders and packed files.

    A packed file is an .npz with `jpeg`, the files one after the other, and `jpeg_ends`, where each ends. Its mask
    `validate`, if there is one, says which were not trained on; the others are left out.

    Raises:
        DatasetError: If there is no photo.
    """
    files: list[bytes] = []
    for source in sources:
        if source.is_dir():
            files += [path.read_bytes() for pattern in PATTERNS for path in sorted(source.glob(pattern))]
        elif source.suffix == ".npz":
            files += _unpacked(source)
        else:
            try:
                files.append(source.read_bytes())
            except OSError as err:
                raise DatasetError(f"{source} cannot be read ({err}); give a photo, a folder or an .npz file") from err
    if not files:
        raise DatasetError(f"no photo in {', '.join(map(str, sources))}; give photos, a folder of them or an .npz file")
    return files


def decoded(files: list[bytes], max_side_px: int) -> Iterator[Rgb]:
    """Photos as the networks take them; what is no photo is left out."""
    for file in files:
        try:
            yield fit_within(decode_image(file), max_side_px)
        except InvalidRequest:
            continue


def pictures(files: list[bytes], max_side_px: int) -> Iterator[Rgb]:
    """Some photos at the small size, then all of them at the full one."""
    if max_side_px > SMALL_SIDE_PX:
        yield from decoded(files[:SMALL_PHOTOS], SMALL_SIDE_PX)
    yield from decoded(files, max_side_px)


def examples(folder: Path) -> list[bytes]:
    """The photos of a folder; one of noise if there is none."""
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))] or [noise_photo(1024, 768)]


def noise_photo(width: int, height: int) -> bytes:
    """A photo of coarse noise as a PNG, for runs without a photo."""
    coarse = np.random.default_rng(0).integers(0, 256, (max(1, height // 16), max(1, width // 16), 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def _unpacked(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            data: npt.NDArray[np.uint8] = file["jpeg"]
            ends = [0, *map(int, file["jpeg_ends"])]
            wanted = file["validate"].astype(bool) if "validate" in file.files else np.ones(len(ends) - 1, bool)
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as err:
        raise DatasetError(f"{path} holds no packed photos ({err}); it needs `jpeg` and `jpeg_ends`") from err
    return [data[ends[i] : ends[i + 1]].tobytes() for i in np.flatnonzero(wanted)]
