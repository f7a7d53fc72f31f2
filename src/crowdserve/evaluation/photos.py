"""Choice of labelled photos: those of the named folders, less what --subset, --split and --limit leave out."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from crowdserve.datasets import Sample, Split, load_dataset, split_samples
from crowdserve.errors import DatasetError, PlatformError, SetupError

SPLIT_SEED = 0
"""Seed of the split that the networks here were trained and validated on."""

LIMIT_SEED = 0
"""Seed of the draw of --limit; a larger limit keeps the photos of a smaller one."""

SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """One photo to evaluate the service on, and the folder in which it was found."""

    folder: Path
    sample: Sample

    @property
    def image(self) -> str:
        """The file's absolute path, which identifies a photo."""
        return str(self.sample.image.resolve())


def choose_photos(
    folders: Sequence[Path], *, subset: str | None = None, split: str | None = None, limit: int | None = None
) -> list[LabelledPhoto]:
    """The chosen photos of all folders, each once.

    Args:
        folders: Roots of data sets, or parts of them.
        subset: A data set's own part or half, such as test, A or A/test; everything if None.
        split: train, test or validate of `split_samples`, without official test halves; everything if None.
        limit: Largest number of photos, drawn from all data sets; every one if None.

    Raises:
        SetupError: If there is no split of that name.
        DatasetError: If a folder has no labelled photos, or no chosen ones.
    """
    chosen: dict[str, LabelledPhoto] = {}
    for folder in folders:
        samples = _of_split(_of_subset(folder, _load(folder), subset), split)
        for photo in (LabelledPhoto(folder, sample) for sample in samples):
            chosen.setdefault(photo.image, photo)
    if not chosen:
        named = ", ".join(map(str, folders))
        raise DatasetError(
            f"no photo of {named} is in the split {split!r}: one of each ten of a training half is; leave out --split"
        )
    return _limited(list(chosen.values()), limit)


def _load(folder: Path) -> list[Sample]:
    try:
        return load_dataset(folder)
    except DatasetError as err:
        raise DatasetError(f"{err}. Photos without labels: crowdserve count PHOTO…") from err
    except ModuleNotFoundError as err:
        raise PlatformError(
            f"the labels of {folder} are .mat files, and {err.name} is not installed: "
            "pip install 'crowdserve[evaluate]'"
        ) from err
    except Exception as err:  # readers of .mat and JSON files raise plain Exception, ValueError, KeyError and more
        cause = f"{type(err).__name__}: {err}"
        raise DatasetError(f"the labels of {folder} cannot be read ({cause}); unpack the data set again") from err


def _of_subset(folder: Path, samples: list[Sample], subset: str | None) -> list[Sample]:
    if subset is None:
        return samples
    found = [sample for sample in samples if subset in {sample.subset, *sample.subset.split("/")}]
    if not found:
        held = Counter(sample.subset or "no subsets" for sample in samples)
        offered = ", ".join(f"{name} ({photos} photos)" for name, photos in held.items())
        raise DatasetError(f"{folder} has no labelled photo of the subset {subset!r}; {samples[0].dataset}: {offered}")
    return found


def _of_split(samples: list[Sample], split: str | None) -> list[Sample]:
    if split is None:
        return samples
    for known in SPLITS:
        if split == known:
            divided = [sample for sample in samples if not sample.is_official_test]
            kept = {id(sample) for sample in split_samples(divided, SPLIT_SEED)[known]}
            return [sample for sample in samples if id(sample) in kept]
    raise SetupError(f"--split is {split!r}; expected one of {', '.join(SPLITS)}")


def _limited(photos: list[LabelledPhoto], limit: int | None) -> list[LabelledPhoto]:
    if limit is None or limit >= len(photos):
        return photos
    order = list(range(len(photos)))
    random.Random(LIMIT_SEED).shuffle(order)
    return [photos[i] for i in sorted(order[:limit])]
