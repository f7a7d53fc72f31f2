"""scikit-learn's classifiers as plain arrays, and back: a file that can run no code.

A record lists the steps of a classifier, each of a class named here and with the parameters that its prediction
depends on; the file has their fitted arrays. An import path is never read from a file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from crowdserve.errors import ClassifierError
from crowdserve.scene.array_file import Arrays, read_arrays, write_arrays

MAX_STEPS = 8
_AGREEMENT = 1e-12


@dataclass(frozen=True, slots=True)
class _Part:
    """A class of scikit-learn.

    Attributes:
        make: Makes an unfitted object from its parameters.
        axes: Fitted attribute -> its number of axes.
        switches: Parameters that prediction depends on, each true or false.
        fits: Whether the arrays belong together.
    """

    make: Callable[..., Any]
    axes: Mapping[str, int]
    switches: tuple[str, ...] = ()
    fits: Callable[[Arrays], bool] = lambda _: True


def _same_length(arrays: Arrays) -> bool:
    return len({array.shape for array in arrays.values()}) == 1


def _is_regression(arrays: Arrays) -> bool:
    rows = arrays["coef_"].shape[0]
    return arrays["classes_"].shape[0] == 2 and arrays["intercept_"].shape == (rows,) and rows == 1


def _is_projection(arrays: Arrays) -> bool:
    parts, features = arrays["components_"].shape
    return arrays["mean_"].shape == (features,) and arrays["explained_variance_"].shape == (parts,)


_PARTS: Mapping[str, _Part] = MappingProxyType(
    {
        "LogisticRegression": _Part(
            LogisticRegression, {"coef_": 2, "intercept_": 1, "classes_": 1}, fits=_is_regression
        ),
        "StandardScaler": _Part(StandardScaler, {"mean_": 1, "scale_": 1}, fits=_same_length),
        "MinMaxScaler": _Part(MinMaxScaler, {"min_": 1, "scale_": 1}, fits=_same_length),
        "PCA": _Part(
            PCA, {"mean_": 1, "components_": 2, "explained_variance_": 1}, switches=("whiten",), fits=_is_projection
        ),
    }
)
"""Every class that is rebuilt, by its name in a record."""

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
    parts = [step for _, step in estimator.steps] if type(estimator) is Pipeline else [estimator]
    unknown = [type(part).__name__ for part in parts if not _is_known(part)]
    if unknown:
        raise ClassifierError(
            f"{', '.join(unknown)} cannot be saved as arrays, expected {', '.join(_PARTS)} of scikit-learn; save it "
            "with --joblib, and start the service with allow_pickle if you trust the file"
        )
    steps: list[Step] = []
    arrays: dict[str, npt.NDArray[Any]] = {}
    for position, part in enumerate(parts):
        kind = _PARTS[type(part).__name__]
        switches = {name: bool(getattr(part, name)) for name in kind.switches}
        steps.append({"class": type(part).__name__, "parameters": switches})
        arrays |= {f"{position}.{name}": _plain(getattr(part, name, None)) for name in kind.axes}
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


def _is_known(part: Any) -> bool:
    kind = _PARTS.get(type(part).__name__)
    return kind is not None and type(part) is kind.make


def _plain(value: Any) -> npt.NDArray[Any]:
    array = np.asarray(value)
    return array.astype(np.str_) if array.dtype.kind == "O" and all(isinstance(item, str) for item in array) else array


def from_arrays(steps: Any, content: bytes) -> Any:
    """The scikit-learn object that steps and a file describe.

    Raises:
        ValueError: If they describe none.
    """
    parts = _checked_steps(steps)
    axes = {f"{n}.{name}": count for n, (part, _) in enumerate(parts) for name, count in part.axes.items()}
    arrays = read_arrays(content, axes)
    built = [
        _rebuilt(part, switches, {name: arrays[f"{position}.{name}"] for name in part.axes})
        for position, (part, switches) in enumerate(parts)
    ]
    widths = [each.n_features_in_ for each in built]
    given = [widths[0], *(_width_after(each) for each in built[:-1])]
    if widths != given:
        raise ValueError(f"its steps take {widths} features and are given {given}")
    if len(built) == 1:
        return built[0]
    names = [f"{position}-{type(each).__name__.lower()}" for position, each in enumerate(built)]
    return Pipeline(list(zip(names, built, strict=True)))


def _checked_steps(steps: Any) -> Sequence[tuple[_Part, dict[str, bool]]]:
    if not isinstance(steps, list) or not 1 <= len(steps) <= MAX_STEPS:
        raise ValueError(f"its record has no list of 1 to {MAX_STEPS} steps")
    found = []
    for step in steps:
        name, switches = (step.get("class"), step.get("parameters")) if isinstance(step, dict) else (None, None)
        part = _PARTS.get(name) if isinstance(name, str) else None
        if part is None:
            raise ValueError(f"its record has a step of class {name!r:.60}, expected one of {', '.join(_PARTS)}")
        if not isinstance(switches, dict) or set(switches) != set(part.switches):
            raise ValueError(f"its record has no parameters {list(part.switches)} of {name}")
        if not all(isinstance(value, bool) for value in switches.values()):
            raise ValueError(f"its record has parameters of {name} that are neither true nor false")
        found.append((part, switches))
    if any(part.make is LogisticRegression for part, _ in found[:-1]) or found[-1][0].make is not LogisticRegression:
        raise ValueError("its record has steps that do not end in their only classifier")
    return found


def _rebuilt(part: _Part, switches: dict[str, bool], arrays: Arrays) -> Any:
    texts = [name for name, array in arrays.items() if array.dtype.kind == "U" and name != "classes_"]
    if texts or not part.fits(arrays):
        shapes = {name: list(array.shape) for name, array in arrays.items()}
        raise ValueError(f"its arrays of a {part.make.__name__} do not fit together: {shapes}")
    built = part.make(**switches)
    for name, array in arrays.items():
        setattr(built, name, array)
    first = arrays["coef_"] if "coef_" in arrays else next(iter(arrays.values()))
    built.n_features_in_ = int(first.shape[-1])
    if isinstance(built, PCA):
        built.n_components_ = int(arrays["components_"].shape[0])
    return built


def _width_after(built: Any) -> int:
    return int(built.n_components_ if isinstance(built, PCA) else built.n_features_in_)
