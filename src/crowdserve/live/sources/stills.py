"""Pictures that lie somewhere: the newest file of a folder, into which a camera or a program puts them."""

import time
from collections.abc import Iterator
from pathlib import Path

from crowdserve.live.errors import SourceLost
from crowdserve.live.frames import Frame, Pause, still_frame

MAX_FILE_BYTES = 32 * 2**20
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_LOST_AFTER = 10
"""Times `every_seconds` without a new picture, after which the folder counts as lost."""

_SETTLED_SECONDS = 0.2
"""Age of a file that nobody is writing any more."""


def folder_frames(folder: Path, every_seconds: float, pause: Pause) -> Iterator[Frame]:
    """The newest picture of a folder, each time that there is a new one.

    Raises:
        SourceLost: If no new one comes for ten times `every_seconds`.
    """
    number, seen, looked_until = 0, (0, ""), time.monotonic() + _LOST_AFTER * every_seconds
    while time.monotonic() < looked_until:
        newest = _newest(folder)
        if newest is not None and newest[:2] > seen:
            seen = newest[:2]
            yield still_frame(newest[0] / 1e9, number, newest[2].read_bytes())
            number, looked_until = number + 1, time.monotonic() + _LOST_AFTER * every_seconds
        pause(min(every_seconds / 4, 1.0))
    raise SourceLost(f"{folder} has had no new picture for {_LOST_AFTER * every_seconds:g} s")


def _newest(folder: Path) -> tuple[int, str, Path] | None:
    """Time of change, name and path of the newest picture that is complete."""
    found = []
    try:
        for path in folder.iterdir():
            if path.suffix.lower() in _SUFFIXES and path.is_file():
                facts = path.stat()
                if time.time() - facts.st_mtime >= _SETTLED_SECONDS and 0 < facts.st_size <= MAX_FILE_BYTES:
                    found.append((facts.st_mtime_ns, path.name, path))
    except OSError as err:
        raise SourceLost(f"{folder} cannot be read: {err.strerror}") from err
    return max(found, default=None)
