"""Counts of the networks of each route in photos whose head counts are known, as CSV files.

`training.routing.crossfit` writes `key,true,dense,sparse`; `crowdserve evaluate --every-route` calls the columns
`true_count`, `dense_count` and `sparse_count` and has others beside them. Both are read.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from crowdserve.cards import ROUTES, SceneRoute
from crowdserve.errors import DatasetError
from crowdserve.evaluation.predictions import count_column

COLUMNS = ("key", "true", *ROUTES)


@dataclass(frozen=True, slots=True)
class RouteCounts:
    """Head counts of one photo, in people.

    Attributes:
        key: The photo's `crowdserve.datasets.Sample.key`.
        true: Labelled count.
        dense: Count by the networks of the dense route.
        sparse: Count by the networks of the sparse route.
    """

    key: str
    true: float
    dense: float
    sparse: float

    def error(self, route: SceneRoute) -> float:
        """Absolute error of a route's count."""
        return abs(float(getattr(self, route)) - self.true)

    @property
    def better_route(self) -> SceneRoute:
        """The route that errs less; the dense one if the errors are equal."""
        return min(ROUTES, key=self.error)


def read_route_counts(path: Path, counter: str | None = None) -> dict[str, RouteCounts]:
    """Counts by photo.

    Args:
        path: The CSV file.
        counter: One of `COUNTERS`, if an evaluation asked for several; None takes the answered counts.

    Raises:
        DatasetError: If the file is missing or lacks a column, or a line does not hold the numbers of one photo.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing; make it with crowdserve evaluate --every-route")
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        columns = _columns(rows.fieldnames or (), path, counter)
        found = [_counts({column: row[column] for column in columns}, f"{path}, line {rows.line_num}") for row in rows]
    counts = {each.key: each for each in found}
    if len(counts) < len(found):
        raise DatasetError(f"{path} lists {len(found) - len(counts)} photos twice; keep one line of each")
    return counts


def _columns(header: Sequence[str], path: Path, counter: str | None) -> list[str]:
    """The column of a file that holds each of `COLUMNS`."""
    names = [
        (count_column(counter, name),) if counter and name in ROUTES else (name, f"{name}_count") for name in COLUMNS
    ]
    found = [next((column for column in either if column in header), None) for either in names]
    missing = [" or ".join(either) for either, column in zip(names, found, strict=True) if column is None]
    if missing:
        raise DatasetError(
            f"{path} has no column {' and no column '.join(missing)}; expected {','.join(COLUMNS)}, or what crowdserve "
            "evaluate --every-route writes"
        )
    return [column for column in found if column is not None]


def _counts(row: dict[str, str | None], where: str) -> RouteCounts:
    if empty := [column for column, cell in row.items() if not cell]:
        raise DatasetError(
            f"{where}: {', '.join(empty)} is empty; evaluate with --every-route, for the counters to compare"
        )
    key, *cells = row.values()
    try:
        numbers = [float(cell or "") for cell in cells]
    except ValueError as err:
        raise DatasetError(f"{where}: {err}; expected numbers of people in {', '.join(COLUMNS[1:])}") from err
    if not all(map(math.isfinite, numbers)):
        raise DatasetError(f"{where} has a count that is not finite: {numbers}; count that photo again")
    return RouteCounts(key or "", *numbers)


def append_route_counts(counts: RouteCounts, path: Path) -> None:
    """Append one photo, to a thousandth of a person, to a CSV file; a missing file is begun."""
    key, *numbers = astuple(counts)
    line = [key, *(f"{number:.3f}".removesuffix(".000") for number in numbers)]
    begun = path.exists()
    with path.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([line] if begun else [COLUMNS, line])
