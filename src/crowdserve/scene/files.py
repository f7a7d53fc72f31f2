"""Scene classifiers on disk, beside VGG16's `model.onnx`, where Triton ignores them.

    scene_classifier.json          the record of the default classifier
    scene_classifier.npz           its file: arrays, of scikit-learn's classifiers or of a dense head
    scene_classifier.NAME.json     the record of another one, which an operator may select by name
    scene_classifier.NAME.joblib   its file: a pickle of scikit-learn's, read only where an operator allows that

A record holds the classifier's type, the SHA-256 of its file, its feature contract and its figures.
"""

import io
import json
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
from crowdserve.scene.estimator_arrays import from_arrays

MAX_RECORD_BYTES = 1 << 20


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
        read: (content, path for errors, record) -> an estimator with `predict_proba` and `classes_`.
        probe_tolerance: Largest difference of a probability on the probe features between the machine of training and
            this one: one product in FP64, or a hidden layer in FP32.
        needs: Keys that the record must hold.
        is_pickle: Whether reading it can run code that is in the file.
    """

    suffix: str
    read: Callable[[bytes, Path, Mapping[str, Any]], Any]
    probe_tolerance: float
    needs: frozenset[str] = frozenset({"sha256", "features", "probe"})
    is_pickle: bool = False


def _read_steps(content: bytes, path: Path, record: Mapping[str, Any]) -> Any:
    try:
        return from_arrays(record["steps"], content)
    except ValueError as err:
        raise ClassifierError(f"{path} holds no classifier ({err}); train again") from err


SCIKIT_LEARN = "scikit-learn"
SCIKIT_LEARN_ARRAYS = "scikit-learn-arrays"
DENSE_HEAD = "dense-head"
TYPES: Mapping[str, ClassifierType] = MappingProxyType(
    {
        SCIKIT_LEARN: ClassifierType(
            ".joblib",
            lambda content, path, _: unwrap(unpickle(content, path)),
            probe_tolerance=1e-6,
            needs=frozenset({"sha256", "features", "probe", "scikit_learn"}),
            is_pickle=True,
        ),
        SCIKIT_LEARN_ARRAYS: ClassifierType(
            ".npz",
            _read_steps,
            probe_tolerance=1e-6,
            needs=frozenset({"sha256", "features", "probe", "scikit_learn", "steps"}),
        ),
        DENSE_HEAD: ClassifierType(".npz", lambda content, path, _: read_head(content, path), probe_tolerance=1e-3),
    }
)
"""Types by name; a record without a type is of the first."""


def read_record(path: Path) -> dict[str, Any]:
    """Read a classifier's record.

    Raises:
        ClassifierError: If it is missing or incomplete.
    """
    try:
        record: dict[str, Any] = json.loads(read_bounded(path, MAX_RECORD_BYTES))
        kind = record.get("type", SCIKIT_LEARN)
    except FileNotFoundError:
        raise ClassifierError(
            f"{path} is missing: a classifier is not opened without its record. Copy both files, or import a file that "
            "you trust with `python -m training.scene.train --import FILE`"
        ) from None
    except (OSError, ValueError, AttributeError, RecursionError) as err:
        raise ClassifierError(f"{path} is not a JSON record of a classifier: {err}") from err
    if not isinstance(kind, str) or kind not in TYPES:
        raise ClassifierError(
            f"{path} has the type {kind!r:.60}, expected one of {', '.join(TYPES)}; update crowdserve"
        )
    if missing := TYPES[kind].needs - set(record):
        raise ClassifierError(f"{path} lacks {', '.join(sorted(missing))}; train again")
    return {**record, "type": kind}


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """The content of a file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger than the limit.
    """
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise ValueError(f"it is larger than {limit_bytes:,} bytes")
    return content
