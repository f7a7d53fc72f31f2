"""Output of `crowdserve evaluate`: tables for people, one JSON object for programs."""

import statistics
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

import crowdserve
from crowdserve.evaluation.comparison import compare_counters
from crowdserve.evaluation.counting import Choices
from crowdserve.evaluation.metrics import MaeDifference
from crowdserve.evaluation.predictions import Prediction
from crowdserve.evaluation.run import Outcome
from crowdserve.evaluation.summary import ALL_PHOTOS, GroupErrors, Tables, summarise, worst
from crowdserve.terminal import printable

WORST_PHOTOS = 5
FEW_PHOTOS = 10
"""Fewest photos for a verdict; with fewer, a bootstrap's interval is too narrow."""

_HEADINGS = ("photos", "mean heads", "MAE", "RMSE", "MAPE", "bias")


def summary_of(outcome: Outcome, choices: Choices, selection: Mapping[str, Any]) -> dict[str, Any]:
    """All results of an evaluation as JSON, without the single predictions.

    Args:
        outcome: Outcome of the run.
        choices: Parameters of the requests.
        selection: Options that chose the photos.
    """
    tables = summarise(outcome.predictions)
    return {
        "crowdserve": crowdserve.__version__,
        "choices": asdict(choices),
        "selection": dict(selection),
        "models": dict(outcome.models),
        "photos": {"counted": len(outcome.predictions), "failed": len(outcome.failures)},
        "median_milliseconds": _median_milliseconds(outcome),
        "errors": {name: {group: asdict(errors) for group, errors in t.items()} for name, t in tables.items()},
        "comparisons": {
            pair: {group: asdict(found) for group, found in groups.items()}
            for pair, groups in compare_counters(outcome.predictions).items()
        },
        "worst": [
            {"key": p.key, "image": p.image, "true_count": p.true_count, "predicted_count": p.predicted_count}
            for p in worst(outcome.predictions, WORST_PHOTOS)
        ],
        "failures": [asdict(failure) for failure in outcome.failures],
    }


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Print the tables of errors, what they leave out, and the photos with the largest errors."""
    tables = summarise(outcome.predictions)
    if not tables:
        console.print("no photo was counted")
        return
    console.print(_error_table(tables))
    for line in _notes(outcome, tables):
        console.print(Text(printable(line)), soft_wrap=True)
    console.print()
    console.print(_worst_table(outcome.predictions))


def _error_table(tables: Tables) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for name, groups in tables.items():
        indent = "" if name == "all" else "  "
        if _says_nothing_new(name, tables):
            continue
        if indent:
            table.add_row(Text(f"by {name}", style="bold"))
        for group, errors in groups.items():
            table.add_row(Text(indent + printable(group)), *map(Text, _cells(errors)))
    return table


def _says_nothing_new(name: str, tables: Tables) -> bool:
    """Whether a table repeats another one, since there is a single data set or counter."""
    return any(single in name and len(tables.get(single, ())) == 1 for single in ("data set", "counter"))


def _cells(errors: GroupErrors) -> tuple[str, ...]:
    return (
        f"{errors.photos:,}",
        f"{errors.mean_true_count:,.1f}",
        f"{errors.mae:,.1f}",
        f"{errors.rmse:,.1f}",
        "–" if errors.mape is None else f"{errors.mape:,.1f}%",
        f"{errors.bias:+,.1f}",
    )


def _notes(outcome: Outcome, tables: Tables) -> list[str]:
    everything = tables["all"][ALL_PHOTOS]
    lines = ["", "MAE, RMSE and bias in people per photo; bias above 0: too many counted."]
    if everything.photos > 1:
        low, high = everything.mae_interval
        lines.append(f"95 % confidence interval of the MAE over all photos: {low:,.1f} to {high:,.1f} (bootstrap).")
    if everything.without_heads:
        lines.append(f"MAPE leaves out {everything.without_heads} of the photos, which show no people.")
    if "policy" in tables:
        lines.append("oracle takes the better route of each photo, which no classifier can know.")
    if outcome.failures:
        lines.append(
            f"{len(outcome.failures)} of the photos failed and are in no figure; the next run tries them again."
        )
    lines += _comparison_notes(outcome)
    versions = ", ".join(f"{name} {version}" for name, version in outcome.models.items())
    return [*lines, f"models {versions}; median {_median_milliseconds(outcome):,.0f} ms per photo"]


def _comparison_notes(outcome: Outcome) -> list[str]:
    """One line per pair of counters and group: the one that errs less, and whether these photos suffice."""
    return [
        f"{pair}, {group}: MAE {found.difference:+,.1f}, 95 % interval {found.interval[0]:+,.1f} to "
        f"{found.interval[1]:+,.1f} ({_verdict(found)}); closer on {found.closer:,} of {found.photos:,} photos"
        for pair, groups in compare_counters(outcome.predictions).items()
        for group, found in groups.items()
    ]


def _verdict(found: MaeDifference) -> str:
    low, high = found.interval
    if found.photos < FEW_PHOTOS:
        return "too few photos to tell"
    return "errs less" if high < 0 else "errs more" if low > 0 else "these photos cannot tell"


def _worst_table(predictions: list[Prediction]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("largest errors", "heads", "counted", "error", "route"):
        table.add_column(heading, justify="left" if heading in {"largest errors", "route"} else "right")
    for p in worst(predictions, WORST_PHOTOS):
        cells = (p.key, f"{p.true_count:,}", f"{p.predicted_count:,.1f}", f"{p.error:+,.1f}", p.route)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _median_milliseconds(outcome: Outcome) -> float | None:
    times = [prediction.milliseconds for prediction in outcome.predictions]
    return round(statistics.median(times), 1) if times else None
