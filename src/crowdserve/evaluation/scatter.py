"""`scatter.png`: predicted against true counts."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crowdserve.errors import PlatformError
from crowdserve.evaluation.predictions import Prediction
from crowdserve.evaluation.summary import group_errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"dense": "#c44e52", "sparse": "#4c72b0", "dense+sparse": "#55a868"}
_OTHER = "#8c8c8c"


def check_matplotlib() -> None:
    """Check that the scatter plot can be drawn.

    Raises:
        PlatformError: If matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise PlatformError(
            "matplotlib draws the scatter plot and is not installed: pip install 'crowdserve[evaluate]'"
        )


def draw_scatter(predictions: Sequence[Prediction], path: Path) -> None:
    """Draw every photo as a dot on logarithmic axes, coloured by its route; the diagonal is a perfect count.

    Args:
        predictions: Predictions, at least one.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    axes = figure.subplots()
    for route in sorted({p.route for p in predictions}):
        taken = [p for p in predictions if p.route == route]
        errors = group_errors((p.predicted_count, p.true_count) for p in taken)
        axes.scatter(
            [p.true_count for p in taken],
            [p.predicted_count for p in taken],
            s=22,
            alpha=0.7,
            linewidths=0,
            color=COLOURS.get(route, _OTHER),
            label=f"{route}: {errors.photos} photos, MAE {errors.mae:,.1f}",
            zorder=3,
        )
    _scale(axes, [count for p in predictions for count in (p.true_count, p.predicted_count)])
    axes.set(xlabel="labelled heads", ylabel="people counted", title=_title(predictions), aspect="equal")
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.legend(loc="upper left")
    figure.savefig(path, dpi=150)


def _title(predictions: Sequence[Prediction]) -> str:
    errors = group_errors((p.predicted_count, p.true_count) for p in predictions)
    return f"{errors.photos} photos: MAE {errors.mae:,.1f}, RMSE {errors.rmse:,.1f}, bias {errors.bias:+,.1f}"


def _scale(axes: "Axes", counts: Sequence[float]) -> None:
    """Set the same logarithmic scale on both axes, linear below 1 if there are such counts; draw the diagonal."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    low, high = min(counts), max(*counts, 1.0) * 1.3
    start = min(low, 0.0) - 0.3 if low < 1 else low / 1.3
    for set_scale in (axes.set_xscale, axes.set_yscale):
        if low < 1:
            set_scale("symlog", linthresh=1, linscale=0.5)
        else:
            set_scale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(_round_numbers(start, high)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set(xlim=(start, high), ylim=(start, high))
    axes.plot([start, high], [start, high], color="#555555", linewidth=1, zorder=2)


def _round_numbers(low: float, high: float) -> list[float]:
    """0 and 1, 2, 5, 10, 20, 50 … between two limits; only powers of ten where those would crowd the axis."""
    steps = (1, 2, 5) if high < 1000 * max(low, 1) else (1,)
    return [n for n in (0, *(step * 10**power for power in range(7) for step in steps)) if low <= n <= high]
