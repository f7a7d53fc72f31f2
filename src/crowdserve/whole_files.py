"""Files that no reader ever sees half of."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replaced(path) as partial:
        partial.write_bytes(content)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path beside the file to write to; its file takes the name at the end, or goes if the block fails."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
