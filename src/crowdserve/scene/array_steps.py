"""The steps of scikit-learn's classifiers with numpy alone: importing scikit-learn takes a second and 80 MB.

Attributes are called as scikit-learn calls them, in FP64. `estimator_arrays` compares each with the original when a
classifier is saved, to 1e-12.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]


class Step(Protocol):
    """A step that changes feature rows."""

    @property
    def n_features_in_(self) -> int:
        """Length of a row before it."""

    @property
    def n_features_out_(self) -> int:
        """Length of a row after it."""

    def transform(self, rows: Rows) -> Rows:
        """The rows after it."""


@dataclass(frozen=True, slots=True)
class StandardScaler:
    """Rows less their mean, over a scale; both [features]."""

    mean_: Rows
    scale_: Rows

    @property
    def n_features_in_(self) -> int:
        """Length of a row."""
        return len(self.mean_)

    @property
    def n_features_out_(self) -> int:
        """Length of a row."""
        return len(self.mean_)

    def transform(self, rows: Rows) -> Rows:
        """The scaled rows."""
        return (rows - self.mean_) / self.scale_


@dataclass(frozen=True, slots=True)
class MinMaxScaler:
    """Rows times a scale plus a least value; both [features]."""

    min_: Rows
    scale_: Rows

    @property
    def n_features_in_(self) -> int:
        """Length of a row."""
        return len(self.min_)

    @property
    def n_features_out_(self) -> int:
        """Length of a row."""
        return len(self.min_)

    def transform(self, rows: Rows) -> Rows:
        """The scaled rows."""
        return rows * self.scale_ + self.min_


@dataclass(frozen=True, slots=True)
class PCA:
    """Projection on principal components.

    Attributes:
        mean_: [features].
        components_: [components, features].
        explained_variance_: [components].
        whiten: Whether each component is scaled to a variance of 1.
    """

    mean_: Rows
    components_: Rows
    explained_variance_: Rows
    whiten: bool

    @property
    def n_features_in_(self) -> int:
        """Length of a row."""
        return int(self.components_.shape[1])

    @property
    def n_features_out_(self) -> int:
        """Number of components."""
        return int(self.components_.shape[0])

    def transform(self, rows: Rows) -> Rows:
        """The rows' components."""
        found: Rows = (rows - self.mean_) @ self.components_.T
        if self.whiten:
            found /= np.sqrt(np.maximum(self.explained_variance_, np.finfo(np.float64).eps))
        return found


@dataclass(frozen=True, slots=True)
class LogisticRegression:
    """A classifier of two classes.

    Attributes:
        coef_: [1, features].
        intercept_: [1].
        classes_: Labels [2].
    """

    coef_: Rows
    intercept_: Rows
    classes_: npt.NDArray[Any]

    @property
    def n_features_in_(self) -> int:
        """Length of a row."""
        return int(self.coef_.shape[1])

    def predict_proba(self, rows: Rows) -> Rows:
        """Probabilities of the classes [rows, 2]."""
        score = rows @ self.coef_[0] + self.intercept_[0]
        second = np.exp(-np.logaddexp(0.0, -score))  # 1 / (1 + exp(-score)), for scores of any size
        return np.stack([1 - second, second], axis=1)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Steps in turn, and a classifier after them."""

    steps: tuple[Step, ...]
    classifier: LogisticRegression

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """Labels [2]."""
        return self.classifier.classes_

    @property
    def n_features_in_(self) -> int:
        """Length of a row."""
        return self.steps[0].n_features_in_

    def predict_proba(self, rows: Rows) -> Rows:
        """Probabilities of the classes [rows, 2]."""
        for step in self.steps:
            rows = step.transform(rows)
        return self.classifier.predict_proba(rows)
