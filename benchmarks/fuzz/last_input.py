"""The input that a worker tries at the moment, in a file that its parent can read when the worker is dead."""

import mmap
from pathlib import Path

from benchmarks.fuzz.edits import MAX_BYTES

_LENGTH_BYTES = 8


class LastInput:
    """A file mapped into memory: writing it costs no system call."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_LENGTH_BYTES + MAX_BYTES))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def write(self, data: bytes) -> None:
        """Keep an input of at most `MAX_BYTES`."""
        self._memory[:_LENGTH_BYTES] = len(data).to_bytes(_LENGTH_BYTES, "little")
        self._memory[_LENGTH_BYTES : _LENGTH_BYTES + len(data)] = data


def last_input(path: Path) -> bytes:
    """The input in a worker's file; empty if the worker wrote none."""
    content = path.read_bytes() if path.exists() else b""
    return content[_LENGTH_BYTES:][: int.from_bytes(content[:_LENGTH_BYTES], "little")]
