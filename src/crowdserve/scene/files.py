"""Scene classifiers on disk, beside VGG16's `model.onnx`, where Triton ignores them.

    scene_classifier.json          the record of the default classifier
    scene_classifier.joblib        its file: fitted with scikit-learn
    scene_classifier.NAME.json     the record of another one, which an operator may select by name
    scene_classifier.NAME.npz      its file: a dense head

A record holds the classifier's type, the SHA-256 of its file, its feature contract and its figures.
"""

import io
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import joblib
import sklearn
from sklearn.pipeline import Pipeline

from crowdserve.errors import ClassifierError
from crowdserve.scene.dense_head import read_head

STEM = "scene_classifier"
DEFAULT_NAME = "default"
FILE_NAME = f"{STEM}.joblib"
"""The default classifier's file, as long as it is one of scikit-learn's."""


def unwrap(estimator: Any) -> Any:
    """The fitted classifier inside a grid search or an imbalanced-learn pipeline, less the samplers of training."""
    if hasattr(estimator, "best_estimator_"):
        return unwrap(estimator.best_estimator_)
    if not hasattr(estimator, "steps"):
        return estimator
    steps = [(name, unwrap(step)) for name, step in estimator.steps if _acts_in_prediction(step)]
    return steps[0][1] if len(steps) == 1 else Pipeline(steps)


def _acts_in_prediction(step: Any) -> bool:
    return step is not None and not isinstance(step, str) and not hasattr(step, "fit_resample")


def unpickle(content: bytes, path: Path) -> Any:
    """Unpickle a joblib or pickle file that is trusted.

    Raises:
        ClassifierError: If it cannot be read here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions; the probe decides
            return joblib.load(io.BytesIO(content))
    except ModuleNotFoundError as err:
        raise ClassifierError(f"{path} needs the module {err.name!r} to be read; install it, or train again") from err
    except Exception as err:
        raise ClassifierError(
            f"{path} cannot be unpickled with scikit-learn {sklearn.__version__} ({type(err).__name__}: {err}); "
            "train again"
        ) from err


@dataclass(frozen=True, slots=True)
class ClassifierType:
    """Storage of the classifiers of one type.

    Attributes:
        suffix: Suffix of the classifier's file.
        read: (content, path for errors) -> an estimator with `predict_proba` and `classes_`.
        probe_tolerance: Largest difference of a probability on the probe features between the machine of training and
            this one: one product in FP64, or a hidden layer in FP32.
        needs: Keys that the record must hold.
    """

    suffix: str
    read: Callable[[bytes, Path], Any]
    probe_tolerance: float
    needs: frozenset[str] = frozenset({"sha256", "features", "probe"})


SCIKIT_LEARN = "scikit-learn"
DENSE_HEAD = "dense-head"
TYPES: Mapping[str, ClassifierType] = MappingProxyType(
    {
        SCIKIT_LEARN: ClassifierType(
            ".joblib",
            lambda content, path: unwrap(unpickle(content, path)),
            probe_tolerance=1e-6,
            needs=frozenset({"sha256", "features", "probe", "scikit_learn"}),
        ),
        DENSE_HEAD: ClassifierType(".npz", read_head, probe_tolerance=1e-3),
    }
)
"""Types by name; a record without a type is scikit-learn's."""


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


def read_record(path: Path) -> dict[str, Any]:
    """Read a classifier's record.

    Raises:
        ClassifierError: If it is missing or incomplete.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        kind = record.get("type", SCIKIT_LEARN)
    except FileNotFoundError:
        raise ClassifierError(
            f"{path} is missing: a classifier is not opened without its record. Copy both files, or import a file that "
            "you trust with `python -m training.scene.train --import FILE`"
        ) from None
    except (ValueError, AttributeError) as err:
        raise ClassifierError(f"{path} is not a JSON record of a classifier: {err}") from err
    if kind not in TYPES:
        raise ClassifierError(f"{path} has the type {kind!r}, expected one of {', '.join(TYPES)}; update crowdserve")
    if missing := TYPES[kind].needs - set(record):
        raise ClassifierError(f"{path} lacks {', '.join(sorted(missing))}; train again")
    return {**record, "type": kind}
