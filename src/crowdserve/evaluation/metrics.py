"""Errors of predicted head counts against labelled ones, as the literature reports them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def count_errors(predicted: npt.ArrayLike, true: npt.ArrayLike) -> dict[str, float]:
    """MAE, RMSE and bias of head counts, in people per image.

    Args:
        predicted: Predicted counts [images], at least one.
        true: Labelled counts [images].
    """
    errors = np.asarray(predicted, dtype=np.float64) - np.asarray(true, dtype=np.float64)
    return {
        "mae": round(float(np.abs(errors).mean()), 2),
        "rmse": round(float(np.sqrt((errors**2).mean())), 2),
        "bias": round(float(errors.mean()), 2),
    }


def mae_interval(predicted: npt.ArrayLike, true: npt.ArrayLike) -> tuple[float, float]:
    """The MAE's 95 % confidence interval on these images.

    Percentile bootstrap: 2.5th and 97.5th percentile over 2,000 draws of the images with replacement. (Efron,
    Tibshirani: An Introduction to the Bootstrap, 1993, chapter 13.)

    Args:
        predicted: Predicted counts [images], at least one; bounds from few images are too narrow.
        true: Labelled counts [images].

    Returns:
        Bounds in people per image, the same for the same images in the same order.
    """
    return _mean_interval(_distances(predicted, true))


@dataclass(frozen=True, slots=True)
class MaeDifference:
    """MAE of one way of counting less that of another, on the same images.

    Attributes:
        photos: Number of images.
        difference: Difference of the MAEs, people per image; below 0 where the first way errs less.
        interval: Its 95 % confidence interval; if it holds 0, these images do not distinguish the two ways.
        closer: Number of images on which the first way is closer to the label.
    """

    photos: int
    difference: float
    interval: tuple[float, float]
    closer: int


def mae_difference(predicted: npt.ArrayLike, other: npt.ArrayLike, true: npt.ArrayLike) -> MaeDifference:
    """Compare two ways of counting by a paired bootstrap, drawn as for `mae_interval`.

    Args:
        predicted: Counts by the first way [images], at least one.
        other: Counts by the other way [images].
        true: Labelled counts [images].
    """
    more = _distances(predicted, true) - _distances(other, true)
    return MaeDifference(
        photos=len(more),
        difference=round(float(more.mean()), 2),
        interval=_mean_interval(more),
        closer=int((more < 0).sum()),
    )


def percentage_error(predicted: npt.ArrayLike, true: npt.ArrayLike) -> float | None:
    """MAPE: the mean absolute error in percent of the labelled count, over the images with heads.

    A share of zero is undefined, so images without heads are left out.

    Args:
        predicted: Predicted counts [images].
        true: Labelled counts [images].

    Returns:
        Percentage; None if no image has a head.
    """
    labelled = np.asarray(true, dtype=np.float64)
    with_heads = labelled > 0
    if not with_heads.any():
        return None
    errors = _distances(predicted, labelled)[with_heads]
    return round(float((errors / labelled[with_heads]).mean() * 100), 2)


def _distances(predicted: npt.ArrayLike, true: npt.ArrayLike) -> npt.NDArray[np.float64]:
    errors: npt.NDArray[np.float64] = np.abs(
        np.asarray(predicted, dtype=np.float64) - np.asarray(true, dtype=np.float64)
    )
    return errors


def _mean_interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    draw = np.random.default_rng(0)
    means = values[draw.integers(len(values), size=(2000, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return round(float(low), 2), round(float(high), 2)
