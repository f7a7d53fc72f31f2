"""The steps of a network as export writes them, independent of the framework that they were read from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kernel = npt.NDArray[np.float32]
"""Weights of a convolution, in the order of axes of their framework."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution of stride 1 that keeps height and width.

    Attributes:
        name: Name of the framework's layer.
        kernel: Kernel, float32 [kh, kw, in, out].
        bias: Bias, float32 [out].
        dilation: Dilation of both axes.
        relu: Whether a ReLU follows.
    """

    name: str
    kernel: Kernel
    bias: npt.NDArray[np.float32]
    dilation: int
    relu: bool


@dataclass(frozen=True, slots=True)
class Pooling:
    """One 2x2 pooling of stride 2; an odd last row or column is dropped."""

    name: str
    operator: Literal["MaxPool", "AveragePool"] = "MaxPool"


Step = Convolution | Pooling
