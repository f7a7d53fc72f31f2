"""A scene classifier with one hidden layer, computed with numpy: serving needs no deep-learning framework for it.

Its file holds plain arrays, nothing to unpickle: FP16 weights of the hidden layer, 51 MB for 1024 units, and FP32
for the rest. It is computed in FP32, the softmax in FP64.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.errors import ClassifierError
from crowdserve.scene.array_file import read_arrays

Array = npt.NDArray[np.float32]

_ARRAYS = {"hidden_kernel": 2, "hidden_bias": 1, "kernel": 2, "bias": 1, "classes": 1}
"""Name in the file -> number of axes."""


@dataclass(frozen=True, slots=True)
class DenseHead:
    """Features -> hidden layer, ReLU -> softmax over the classes. Dropout acts only in training.

    Attributes:
        hidden_kernel: [features, units].
        hidden_bias: [units].
        kernel: [units, classes].
        bias: [classes].
        classes_: Labels of the classes [classes], as scikit-learn's classifiers name them.
    """

    hidden_kernel: Array
    hidden_bias: Array
    kernel: Array
    bias: Array
    classes_: npt.NDArray[np.int64]

    @property
    def n_features_in_(self) -> int:
        """Length of a feature row."""
        return int(self.hidden_kernel.shape[0])

    def predict_proba(self, features: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Features [photos, features] -> probabilities [photos, classes]; each row sums to 1."""
        hidden = features.astype(np.float32, copy=False) @ self.hidden_kernel
        hidden += self.hidden_bias
        np.maximum(hidden, 0, out=hidden)
        logits = (hidden @ self.kernel + self.bias).astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: npt.NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
        return probabilities


def write_head(head: DenseHead) -> bytes:
    """The content of a head's file; the hidden layer's weights are rounded to FP16."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        hidden_kernel=head.hidden_kernel.astype(np.float16),
        hidden_bias=head.hidden_bias,
        kernel=head.kernel,
        bias=head.bias,
        classes=head.classes_,
    )
    return buffer.getvalue()


def read_head(content: bytes, path: Path) -> DenseHead:
    """Read what `write_head` wrote; errors name `path`.

    Raises:
        ClassifierError: If it is not such a file, or its arrays do not fit together.
    """
    try:
        arrays = read_arrays(content, _ARRAYS)
    except ValueError as err:
        raise ClassifierError(f"{path} holds no dense head ({err}); train again") from err
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    if not _fit_together(arrays):
        raise ClassifierError(f"{path} holds arrays that do not fit together: {shapes}; train again")
    classes = arrays.pop("classes")
    return DenseHead(**{name: array.astype(np.float32) for name, array in arrays.items()}, classes_=classes)


def _fit_together(arrays: dict[str, npt.NDArray[np.generic]]) -> bool:
    if any(array.dtype.kind == "U" for name, array in arrays.items() if name != "classes"):
        return False
    units, classes = arrays["kernel"].shape
    return arrays["hidden_kernel"].shape[1:] == arrays["hidden_bias"].shape == (units,) and (
        arrays["bias"].shape == arrays["classes"].shape == (classes,)
    )
