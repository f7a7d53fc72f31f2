"""The lines of `crowdserve watch` on standard output, and what happens if nobody reads them any more."""

import logging
import os
import sys
import threading
from collections.abc import Iterable

from crowdserve.live.observations import COUNTED, Alert, Reading
from crowdserve.live.outputs.lines import json_lines, text_lines
from crowdserve.terminal import printable

log = logging.getLogger(__name__)


class Printer:
    """Prints readings and alerts.

    Args:
        as_json: Whether each is a JSON object in a line.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._turn = threading.Lock()
        self._last: dict[str, str] = {}
        self.is_closed = False

    def show(self, reading: Reading, alerts: list[Alert]) -> None:
        """Print a reading, unless it says again that there is none, and the alerts that it has changed."""
        before, self._last[reading.camera] = self._last.get(reading.camera), reading.status
        if not self._as_json and reading.status == before != COUNTED and not alerts:
            return  # people need not be told again and again
        lines = json_lines(reading, alerts) if self._as_json else map(printable, text_lines(reading, alerts))
        with self._turn:  # cameras have threads of their own, and print writes a line and its end apart
            self._print(lines)

    def _print(self, lines: Iterable[str]) -> None:
        if self.is_closed:
            return
        try:
            print("\n".join(lines), flush=True)
        except OSError as err:
            self.is_closed = True
            log.warning("standard output is closed (%s): no more lines are printed", err.strerror)
            # What the buffer still holds must not fail once more when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
