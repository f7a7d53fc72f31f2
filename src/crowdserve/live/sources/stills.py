"""Pictures that lie somewhere: the newest file of a folder, into which a camera or a program puts them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from crowdserve.failures import in_words
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
        if newest > seen and (file := _content(folder / newest[1])):
            seen = newest
            yield still_frame(seen[0] / 1e9, number, file)
            number, looked_until = number + 1, time.monotonic() + _LOST_AFTER * every_seconds
        pause(min(every_seconds / 4, 1.0))
    raise SourceLost(f"the folder has had no new picture for {_LOST_AFTER * every_seconds:g} s")


def _newest(folder: Path) -> tuple[int, str]:
    """Time of change and name of the newest picture that is complete."""
    try:
        with os.scandir(folder) as entries:
            return max(filter(None, map(_complete, entries)), default=(0, ""))
    except OSError as err:
        raise SourceLost(in_words(err, "the folder")) from err


def _complete(entry: "os.DirEntry[str]") -> tuple[int, str] | None:
    """The same of a file, if it is a picture that nobody is writing any more."""
    if os.path.splitext(entry.name)[1].lower() not in _SUFFIXES or not entry.is_file():
        return None
    try:
        facts = entry.stat()
    except FileNotFoundError:  # somebody clears up
        return None
    is_settled = time.time() - facts.st_mtime >= _SETTLED_SECONDS
    return (facts.st_mtime_ns, entry.name) if is_settled and 0 < facts.st_size <= MAX_FILE_BYTES else None


def _content(file: Path) -> bytes:
    """A file's content; none if it is gone."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
