"""A history as a file: CSV, or Parquet for programs that read much of it."""

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from crowdserve.errors import SetupError
from crowdserve.live.history.tables import COUNTS

COLUMNS = tuple(column.name for column in COUNTS.columns)
_ROWS_AT_A_TIME = 10_000


def write_csv(rows: Iterable[dict[str, Any]], stream: IO[str]) -> int:
    """Write counts as CSV, times in UTC; returns how many rows."""
    writer = csv.DictWriter(stream, COLUMNS)
    writer.writeheader()
    written = 0
    for row in rows:
        time = f"{row['at'].isoformat(timespec='milliseconds')}Z"
        writer.writerow(row | {"at": time, "zone": _harmless(row["zone"])})
        written += 1
    return written


def write_parquet(rows: Iterable[dict[str, Any]], path: Path) -> int:
    """Write counts as Parquet; returns how many rows.

    Raises:
        SetupError: If pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as err:
        raise SetupError("Parquet needs pyarrow; install crowdserve[history], or export to a .csv file") from err
    schema = _schema(pyarrow)
    written = 0
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for part in _parts(rows):
            writer.write_table(pyarrow.Table.from_pylist(part, schema))
            written += len(part)
    return written


def _schema(pyarrow: Any) -> Any:
    texts = dict.fromkeys(("camera", "zone", "level"), pyarrow.string())
    types = {**texts, "at": pyarrow.timestamp("us", "UTC"), "frames": pyarrow.int32()}
    return pyarrow.schema([(name, types.get(name, pyarrow.float64())) for name in COLUMNS])


def _parts(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(rows)
    while part := list(islice(iterator, _ROWS_AT_A_TIME)):
        yield part


def _harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
