"""scikit-learn's classifiers as plain arrays, which `crowdserve.scene.linear` computes with in serving."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from crowdserve.errors import ClassifierError
from crowdserve.scene.array_file import write_arrays
from crowdserve.scene.linear import PARTS, from_arrays

_AGREEMENT = 1e-12
_CLASSES: Mapping[str, type] = MappingProxyType(
    {kind.__name__: kind for kind in (LogisticRegression, StandardScaler, MinMaxScaler, PCA)}
)

Step = dict[str, Any]
"""``{"class": …, "parameters": {…}}``, as a record has it."""


def to_arrays(estimator: Any, features: npt.NDArray[np.float64]) -> tuple[list[Step], bytes]:
    """The steps and the file of a fitted classifier.

    Args:
        estimator: A classifier, or a pipeline that ends in one.
        features: Feature rows that the rebuilt one is compared on.

    Raises:
        ClassifierError: If it cannot be rebuilt from arrays.
    """
    steps, arrays = _taken_apart(estimator)
    content = write_arrays(arrays)
    try:
        found = from_arrays(steps, content).predict_proba(features)
        agrees = bool(np.abs(found - estimator.predict_proba(features)).max() <= _AGREEMENT)
    except ValueError:
        agrees = False
    if not agrees:
        raise ClassifierError(
            "a parameter of the classifier has an effect that its arrays do not have; save it with --joblib, and start "
            "the service with allow_pickle if you trust the file"
        )
    return steps, content


def _taken_apart(estimator: Any) -> tuple[list[Step], dict[str, npt.NDArray[Any]]]:
    parts = [step for _, step in estimator.steps] if type(estimator) is Pipeline else [estimator]
    unknown = [type(part).__name__ for part in parts if type(part) is not _CLASSES.get(type(part).__name__)]
    if unknown:
        raise ClassifierError(
            f"{', '.join(unknown)} cannot be saved as arrays, expected {', '.join(PARTS)} of scikit-learn; save it "
            "with --joblib, and start the service with allow_pickle if you trust the file"
        )
    steps: list[Step] = []
    arrays: dict[str, npt.NDArray[Any]] = {}
    for position, part in enumerate(parts):
        kind = PARTS[type(part).__name__]
        switches = {name: bool(getattr(part, name)) for name in kind.switches}
        steps.append({"class": type(part).__name__, "parameters": switches})
        arrays |= {f"{position}.{name}": _plain(getattr(part, name, None)) for name in kind.axes}
    return steps, arrays


def _plain(value: Any) -> npt.NDArray[Any]:
    array = np.asarray(value)
    return array.astype(np.str_) if array.dtype.kind == "O" and all(isinstance(item, str) for item in array) else array
