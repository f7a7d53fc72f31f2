"""Names of scene classifiers, and of their files. To check one takes no scikit-learn, which is seconds to import."""

import re
from pathlib import Path

from crowdserve.errors import ClassifierError

STEM = "scene_classifier"
DEFAULT_NAME = "default"
FILE_NAME = f"{STEM}.npz"
"""The default classifier's file, unless it is a pickle."""


def check_name(name: str) -> str:
    """Check a name that a classifier can be selected by, and return it.

    Raises:
        ValueError: If it does not consist of lower-case letters, digits and hyphens.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError("expected a name of lower-case letters, digits and hyphens, such as count")
    return name


def record_path(folder: Path, name: str = DEFAULT_NAME) -> Path:
    """Path of a classifier's record."""
    return folder / (f"{STEM}.json" if name == DEFAULT_NAME else f"{STEM}.{name}.json")


def classifier_names(folder: Path) -> list[str]:
    """Names of the classifiers in a folder."""
    return sorted(classifier_name(path) for path in folder.glob(f"{STEM}*.json"))


def classifier_name(record: Path) -> str:
    """The name of the classifier that a record describes."""
    return record.stem.removeprefix(STEM).removeprefix(".") or DEFAULT_NAME


def find_classifier(folder: Path, name: str) -> Path:
    """Path of the record of the classifier called `name`.

    Raises:
        ClassifierError: If the folder has others, but none of that name.
    """
    path, names = record_path(folder, name), classifier_names(folder)
    if names and name not in names:
        raise ClassifierError(f"{folder} has no scene classifier {name!r}; it has {', '.join(names)}")
    return path
