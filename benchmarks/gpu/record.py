"""The report while it is made: its file is whole at any moment, however the run ends."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.stopwatch import Clock
from crowdserve.errors import PlatformError

RUNNING, COMPLETE, INTERRUPTED = "running", "complete", "interrupted"
NO_TIME = "no time left"
"""Status of a row that was not measured since the time was over."""


class Record:
    """The report, saved after each part.

    Attributes:
        report: All that is known so far; `status` is "running", "complete" or "interrupted".
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self.report: dict[str, Any] = {
            "status": RUNNING,
            "seconds": 0.0,
            "machine": {},
            "ceilings": None,
            "networks": {},
            "speed": [],
            "expectation": None,
            "photos": {},
            "runtimes": [],
        }

    def put(self, part: str, value: object) -> None:
        """Set a part of the report.

        Raises:
            PlatformError: If the file cannot be written.
        """
        self.report[part] = value
        self.save()

    def add(self, part: str, row: Mapping[str, object]) -> None:
        """Add a row to a list of the report; errors as of `put`."""
        self.report[part].append(row)
        self.save()

    def save(self) -> None:
        """Write the file, if there is one; errors as of `put`."""
        self.report["seconds"] = self._clock.spent
        if self._path is not None:
            try:
                write_json(self.report, self._path)
            except OSError as err:
                raise PlatformError(f"{self._path} cannot be written ({err}); give --json another file") from err


def write_json(report: Mapping[str, Any], path: Path) -> None:
    """Put a report in the place of an older one; numbers that are none become null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps(_finite(report), indent=1, allow_nan=False) + "\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
