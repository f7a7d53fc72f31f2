"""A classifier of linear steps, out of plain arrays and computed with numpy: a file that can run no code.

A record lists the steps, each with the name of the class of scikit-learn that was fitted and with the parameters that
its prediction depends on; the file has their fitted arrays. An import path is never read from a file. Serving imports
no scikit-learn for this, which would take half of its start; `training.scene.linear_arrays` writes the files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.scene.array_file import Arrays, read_arrays

MAX_STEPS = 8

Rows = npt.NDArray[np.float64]
Switches = Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Part:
    """What a step computes.

    Attributes:
        apply: (rows [photos, features], arrays, parameters) -> what the next step takes [photos, parts].
        axes: Fitted attribute -> its number of axes.
        switches: Parameters that prediction depends on, each true or false.
        fits: Whether the arrays belong together.
    """

    apply: Callable[[Rows, Arrays, Switches], Rows]
    axes: Mapping[str, int]
    switches: tuple[str, ...] = ()
    fits: Callable[[Arrays], bool] = lambda _: True


def _regressed(rows: Rows, arrays: Arrays, _: Switches) -> Rows:
    """Probabilities of the first and of the second class."""
    logits = rows @ arrays["coef_"].T + arrays["intercept_"]
    # The logistic function of both signs: neither overflows, and a small probability keeps its digits.
    return np.exp(-np.logaddexp(0, np.concatenate([logits, -logits], axis=1)))


def _standardised(rows: Rows, arrays: Arrays, _: Switches) -> Rows:
    return (rows - arrays["mean_"]) / arrays["scale_"]


def _brought_to_a_range(rows: Rows, arrays: Arrays, _: Switches) -> Rows:
    return rows * arrays["scale_"] + arrays["min_"]


def _projected(rows: Rows, arrays: Arrays, switches: Switches) -> Rows:
    components = arrays["components_"].T
    parts: Rows = rows @ components - arrays["mean_"] @ components
    if not switches["whiten"]:
        return parts
    deviations = np.sqrt(arrays["explained_variance_"])
    return parts / np.maximum(deviations, np.finfo(deviations.dtype).eps)


def _same_length(arrays: Arrays) -> bool:
    return len({array.shape for array in arrays.values()}) == 1


def _is_regression(arrays: Arrays) -> bool:
    rows = arrays["coef_"].shape[0]
    return arrays["classes_"].shape[0] == 2 and arrays["intercept_"].shape == (rows,) and rows == 1


def _is_projection(arrays: Arrays) -> bool:
    parts, features = arrays["components_"].shape
    return arrays["mean_"].shape == (features,) and arrays["explained_variance_"].shape == (parts,)


_CLASSIFIER = "LogisticRegression"

PARTS: Mapping[str, Part] = MappingProxyType(
    {
        _CLASSIFIER: Part(_regressed, {"coef_": 2, "intercept_": 1, "classes_": 1}, fits=_is_regression),
        "StandardScaler": Part(_standardised, {"mean_": 1, "scale_": 1}, fits=_same_length),
        "MinMaxScaler": Part(_brought_to_a_range, {"min_": 1, "scale_": 1}, fits=_same_length),
        "PCA": Part(
            _projected,
            {"mean_": 1, "components_": 2, "explained_variance_": 1},
            switches=("whiten",),
            fits=_is_projection,
        ),
    }
)
"""Every step that is computed, by its name in a record: that of scikit-learn's class."""


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    switches: Switches
    arrays: Arrays

    @property
    def taken(self) -> int:
        """Length of a row that the step takes."""
        first = self.arrays["coef_"] if "coef_" in self.arrays else next(iter(self.arrays.values()))
        return int(first.shape[-1])

    @property
    def given(self) -> int:
        """Length of a row that the step gives to the next."""
        return len(self.arrays["components_"]) if "components_" in self.arrays else self.taken

    def apply(self, rows: Rows) -> Rows:
        return PARTS[self.name].apply(rows, self.arrays, self.switches)


@dataclass(frozen=True, slots=True)
class LinearClassifier:
    """Scaling and projection, if any, then a logistic regression of two classes.

    Attributes:
        steps: What is done with a row of features; the last step gives the probabilities.
    """

    steps: tuple[_Step, ...]

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """Labels of the two classes, as scikit-learn's classifiers name them."""
        return self.steps[-1].arrays["classes_"]

    @property
    def n_features_in_(self) -> int:
        """Length of a feature row."""
        return self.steps[0].taken

    def predict_proba(self, features: npt.NDArray[np.floating[Any]]) -> Rows:
        """Features [photos, features] -> probabilities [photos, classes], in FP64; each row sums to 1."""
        rows = features.astype(np.float64, copy=False)
        for step in self.steps:
            rows = step.apply(rows)
        return rows


def from_arrays(steps: Any, content: bytes) -> LinearClassifier:
    """The classifier that steps and a file describe.

    Args:
        steps: ``[{"class": …, "parameters": {…}}, …]``, as a record has them.
        content: The file.

    Raises:
        ValueError: If they describe none.
    """
    named = _checked_steps(steps)
    axes = {f"{n}.{array}": count for n, (name, _) in enumerate(named) for array, count in PARTS[name].axes.items()}
    arrays = read_arrays(content, axes)
    built = [
        _fitting(_Step(name, switches, {array: arrays[f"{position}.{array}"] for array in PARTS[name].axes}))
        for position, (name, switches) in enumerate(named)
    ]
    widths = [step.taken for step in built]
    given = [widths[0], *(step.given for step in built[:-1])]
    if widths != given:
        raise ValueError(f"its steps take {widths} features and are given {given}")
    return LinearClassifier(tuple(built))


def _checked_steps(steps: Any) -> Sequence[tuple[str, dict[str, bool]]]:
    if not isinstance(steps, list) or not 1 <= len(steps) <= MAX_STEPS:
        raise ValueError(f"its record has no list of 1 to {MAX_STEPS} steps")
    found = []
    for step in steps:
        name, switches = (step.get("class"), step.get("parameters")) if isinstance(step, dict) else (None, None)
        part = PARTS.get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or part is None:
            raise ValueError(f"its record has a step of class {name!r:.60}, expected one of {', '.join(PARTS)}")
        if not isinstance(switches, dict) or set(switches) != set(part.switches):
            raise ValueError(f"its record has no parameters {list(part.switches)} of {name}")
        if not all(isinstance(value, bool) for value in switches.values()):
            raise ValueError(f"its record has parameters of {name} that are neither true nor false")
        found.append((name, switches))
    if [name == _CLASSIFIER for name, _ in found] != [False] * (len(found) - 1) + [True]:
        raise ValueError("its record has steps that do not end in their only classifier")
    return found


def _fitting(step: _Step) -> _Step:
    texts = [name for name, array in step.arrays.items() if array.dtype.kind == "U" and name != "classes_"]
    if texts or not PARTS[step.name].fits(step.arrays):
        shapes = {name: list(array.shape) for name, array in step.arrays.items()}
        raise ValueError(f"its arrays of a {step.name} do not fit together: {shapes}")
    return step
