"""Features of a split of the scene data set, and their two file formats."""

import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.errors import DatasetError
from crowdserve.scene.classifier import LABELS
from crowdserve.scene.contract import FEATURE_COUNT

SPLITS = ("train", "test", "validate")


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Features of one split.

    Attributes:
        features: float16 or float32 [photos, 25088].
        labels: int64 [photos], see `crowdserve.scene.classifier.LABELS`.
        files: Paths of the photos below the data set's folder; empty if the features come from a CSV file.
        contract: Description of the features, see `crowdserve.scene.contract`; None if they come from a CSV file.
    """

    features: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[np.int64]
    files: tuple[str, ...] = ()
    contract: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.features.shape != (len(self.labels), FEATURE_COUNT):
            raise DatasetError(
                f"features have shape {list(self.features.shape)}, expected [{len(self.labels)}, {FEATURE_COUNT}]"
            )
        if unknown := set(self.labels.tolist()) - set(LABELS.values()):
            raise DatasetError(f"labels are {dict(LABELS)}, not {sorted(unknown)}; extract the features again")


def save_npz(found: FeatureSet, target: Path) -> None:
    """Write features in the compact binary format; the file appears once it is complete."""
    partial = target.with_name(f"{target.stem}.{os.getpid()}.npz")
    contract = json.dumps(found.contract)
    np.savez_compressed(partial, features=found.features, labels=found.labels, files=found.files, contract=contract)
    partial.replace(target)


def load_npz(path: Path) -> FeatureSet:
    """Read what `save_npz` wrote.

    Raises:
        DatasetError: If the file is no feature file.
    """
    try:
        with np.load(path) as file:
            contract = json.loads(str(file["contract"]))
            return FeatureSet(file["features"], file["labels"], tuple(file["files"].tolist()), contract)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as err:
        raise DatasetError(f"{path} is no feature file ({err}); delete it and run training.scene.features") from err


def save_csv(found: FeatureSet, target: Path) -> None:
    """Write features as CSV: no header, the label first, then 25,088 floats."""
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    with partial.open("w") as file:
        for label, row in zip(found.labels.tolist(), found.features, strict=True):
            file.write(f"{label},{','.join(np.char.mod('%.7g', row.astype(np.float64)))}\n")
    partial.replace(target)


def load_csv(path: Path) -> FeatureSet:
    """Read a CSV file of features.

    Raises:
        DatasetError: If a line is not a label and 25,088 floats.
    """
    rows = list(_csv_rows(path))
    if not rows:
        raise DatasetError(f"{path} is empty; run training.scene.features --csv")
    labels = np.array([row[0] for row in rows])
    if not np.array_equal(labels, labels.astype(np.int64)):
        raise DatasetError(f"{path}: labels must be integers, in the first column")
    return FeatureSet(np.stack([row[1:] for row in rows]), labels.astype(np.int64))


def _csv_rows(path: Path) -> Iterator[npt.NDArray[np.float32]]:
    with path.open() as file:
        for number, line in enumerate(file, 1):
            try:
                row = np.array(line.split(","), dtype=np.float32)
            except ValueError as err:
                raise DatasetError(
                    f"{path}, line {number}: {err}; there is no header, and every field is a number"
                ) from err
            if len(row) != FEATURE_COUNT + 1:
                raise DatasetError(
                    f"{path}, line {number} has {len(row)} fields, expected a label and {FEATURE_COUNT} features"
                )
            yield row


def load_features(folder: Path, split: str) -> FeatureSet:
    """Features of one split, from its .npz file if there is one, else from its .csv file.

    Raises:
        DatasetError: If there is neither, or the file is broken.
    """
    for path, load in ((folder / f"{split}.npz", load_npz), (folder / f"{split}.csv", load_csv)):
        if path.exists():
            return load(path)
    raise DatasetError(
        f"{folder} has neither {split}.npz nor {split}.csv; run python -m training.scene.features {folder}"
    )
