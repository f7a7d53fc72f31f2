"""`predictions.csv`: one row per counted photo, appended as it comes, so that a stopped run can continue."""

import csv
import dataclasses
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from crowdserve.cards import COUNTERS, ROUTES
from crowdserve.errors import SetupError

DECIMALS = 4
"""Decimals of head counts; a prediction in memory is rounded like its row in the file."""

_ODD_NAMES = "surrogateescape"
"""Error handler that writes file names which are not UTF-8 unchanged."""


def count_column(counter: str | None = None, route: str | None = None) -> str:
    """The column with the people that a counter found on a route.

    Args:
        counter: A family of counting networks; the counter of the run if None.
        route: A route that counted alone; the route taken if None.
    """
    return "_".join([*([route] if route else []), "count", *([counter] if counter else [])])


COUNT_COLUMNS = tuple(count_column(counter, route) for route in (None, *ROUTES) for counter in (None, *COUNTERS))[1:]
"""Columns of head counts besides the predicted count; empty if not requested."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One photo, as labelled and as counted.

    Attributes:
        folder: The data set's folder, as named in the call.
        dataset: Name of the layout.
        subset: The data set's own part and half.
        key: `Sample.key`.
        image: Absolute path of the file.
        true_count: Number of labelled heads.
        predicted_count: Number of people that the service answered.
        counts: Number of people by column, see `count_column`.
        scene: The scene that route `auto` follows.
        scene_probability: Probability of that scene.
        route: The route taken; ``dense+sparse`` where both were blended.
        models: Version of each model that answered.
        milliseconds: Time from sending the photo to the last byte of the answer, for the predicted count only.
    """

    folder: str
    dataset: str
    subset: str
    key: str
    image: str
    true_count: int
    predicted_count: float
    counts: Mapping[str, float]
    scene: str
    scene_probability: float
    route: str
    models: Mapping[str, str]
    milliseconds: float

    @property
    def error(self) -> float:
        """Predicted less true count; positive where too many are counted."""
        return self.predicted_count - self.true_count


_FIELDS = tuple(field.name for field in dataclasses.fields(Prediction))
COLUMNS = tuple(column for name in _FIELDS for column in (COUNT_COLUMNS if name == "counts" else (name,)))
"""The header of the file."""


def write_row(prediction: Prediction) -> dict[str, Any]:
    """A prediction as a row of the file."""
    row: dict[str, Any] = {name: getattr(prediction, name) for name in _FIELDS}
    row |= row.pop("counts")
    row["models"] = json.dumps(dict(prediction.models), sort_keys=True)
    return row


def read_row(row: Mapping[str, str]) -> Prediction:
    """A row of the file as a prediction.

    Raises:
        ValueError: If a value does not fit its column.
    """
    return Prediction(
        **{name: row[name] for name in ("folder", "dataset", "subset", "key", "image", "scene", "route")},
        true_count=int(row["true_count"]),
        predicted_count=float(row["predicted_count"]),
        counts={column: float(row[column]) for column in COUNT_COLUMNS if row[column]},
        scene_probability=float(row["scene_probability"]),
        models=json.loads(row["models"]),
        milliseconds=float(row["milliseconds"]),
    )


class PredictionsFile:
    """The file of one output folder, open for appending inside a `with` block.

    Attributes:
        earlier: Rows of earlier runs, by image; rows appended now are not added.
    """

    def __init__(self, path: Path) -> None:
        """Read the rows of earlier runs; a last row that a crash cut off is dropped.

        Raises:
            SetupError: If the file is not a predictions file.
        """
        self.path = path
        data = path.read_bytes() if path.exists() else b""
        self._whole_bytes, self._read_bytes = data.rfind(b"\n") + 1, len(data)
        self.earlier = {row.image: row for row in self._read(data[: self._whole_bytes])}
        self._file: IO[str] | None = None

    def __enter__(self) -> "PredictionsFile":
        if self.path.exists() and self.path.stat().st_size != self._read_bytes:
            raise SetupError(
                f"{self.path} has changed since it was read; end the other run that writes to it, or name another "
                "--output"
            )
        self._file = self.path.open("a", encoding="utf-8", errors=_ODD_NAMES, newline="")
        self._file.truncate(self._whole_bytes)
        if not self._whole_bytes:
            self._writer().writeheader()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, prediction: Prediction) -> None:
        """Write a row, so that it is in the file before this returns."""
        self._writer().writerow(write_row(prediction))
        if self._file is not None:
            self._file.flush()

    def _writer(self) -> "csv.DictWriter[str]":
        if self._file is None:
            raise ValueError("open the file first, in a `with` block")
        # Always quote text: the csv module omits quotes around a carriage return, which a file name may have.
        return csv.DictWriter(self._file, COLUMNS, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)

    def _read(self, data: bytes) -> list[Prediction]:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8", _ODD_NAMES), newline=""))
        if data and tuple(rows.fieldnames or ()) != COLUMNS:
            raise SetupError(
                f"{self.path} has other columns than this version of crowdserve writes; name another --output"
            )
        try:
            return [read_row(row) for row in rows]
        except (ValueError, TypeError) as err:
            raise SetupError(
                f"{self.path}, line {rows.line_num}, is not a row of crowdserve evaluate ({err}); repair or remove it"
            ) from err
