"""Crops and batches of equal size, for arrays that lie on the same grid: images, features, density maps."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

_Dtype = TypeVar("_Dtype", bound=np.generic)

Pair = tuple[npt.NDArray[np.generic], npt.NDArray[np.float32]]
"""Input [h, w, channels], and target [h, w] on the same grid or on one that is coarser by a whole stride."""


def random_crop(pair: Pair, rows: int, columns: int, draw: np.random.Generator) -> Pair:
    """The same random crop of input and target; whatever is smaller than the crop is filled up with zeros."""
    target = pair[1]
    top = int(draw.integers(0, max(target.shape[0] - rows, 0) + 1))
    left = int(draw.integers(0, max(target.shape[1] - columns, 0) + 1))
    return crop(pair, top, left, rows, columns)


def crop(pair: Pair, top: int, left: int, rows: int, columns: int) -> Pair:
    """A crop of a target, given in its cells, and the same area of the input."""
    source, target = pair
    stride = source.shape[0] // target.shape[0]
    area = source[top * stride : (top + rows) * stride, left * stride : (left + columns) * stride]
    window = target[top : top + rows, left : left + columns]
    return _fill(area, rows * stride, columns * stride), _fill(window, rows, columns)


def batches_of_equal_size(pairs: Iterable[Pair], batch_size: int) -> Iterator[Pair]:
    """Group pairs of equal shape as they come; the remainder of each shape follows at the end in smaller batches.

    Yields:
        Inputs [batch, h, w, channels] and targets [batch, h, w], batch at most `batch_size`.
    """
    waiting: dict[tuple[int, ...], list[Pair]] = {}
    for pair in pairs:
        group = waiting.setdefault(pair[0].shape, [])
        group.append(pair)
        if len(group) == batch_size:
            yield _stack(waiting.pop(pair[0].shape))
    for group in waiting.values():
        yield _stack(group)


def _stack(pairs: list[Pair]) -> Pair:
    return np.stack([source for source, _ in pairs]), np.stack([target for _, target in pairs])


def _fill(array: npt.NDArray[_Dtype], rows: int, columns: int) -> npt.NDArray[_Dtype]:
    missing = [(0, rows - array.shape[0]), (0, columns - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, missing) if any(after for _, after in missing) else array
