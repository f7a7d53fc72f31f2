"""Pictures that lie somewhere: the newest file of a folder, into which a camera or a program puts them."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from crowdserve.failures import in_words
from crowdserve.live.errors import SourceLost
from crowdserve.live.frames import Frame, Pause, still_frame

MAX_FILE_BYTES = 32 * 2**20
_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".heic",
        ".heif",
        ".avif",
        ".jp2",
    }
)
_LOST_AFTER = 10
"""Times `every_seconds` without a new picture, after which the folder counts as lost."""

_SETTLED_SECONDS = 0.2
"""Age of a file that nobody is writing any more."""

_DEEPEST = 5
"""Folders in folders that are looked into: cameras that upload their pictures make one for each day, or hour."""

_Facts = tuple[int, int]
"""A file's time of change in ns, and its bytes."""


def folder_frames(folder: Path, every_seconds: float, pause: Pause) -> Iterator[Frame]:
    """The newest picture of a folder, and of those in it, each time that there is a new one.

    What is new is known by comparing with what was there before, so that no clock of a camera or of this machine, which
    may be wrong or set, hides a picture.

    Raises:
        SourceLost: If no new one comes for ten times `every_seconds`.
    """
    number, done, looked_until = 0, None, time.monotonic() + _LOST_AFTER * every_seconds
    before: dict[str, _Facts] = {}
    problem = ""
    while time.monotonic() < looked_until:
        now = _pictures(folder)
        settled = {path: facts for path, facts in now.items() if _is_settled(facts, before.get(path))}
        new = settled if done is None else {path: facts for path, facts in settled.items() if done.get(path) != facts}
        for path in sorted(new, key=lambda path: (new[path], path), reverse=True):
            file, problem = _content(Path(path))
            if file:
                yield still_frame(min(new[path][0] / 1e9, time.time()), number, file)
                number, looked_until = number + 1, time.monotonic() + _LOST_AFTER * every_seconds
                break
        done = settled if done is None else {path: done[path] for path in done if path in now} | settled
        before = now
        pause(min(every_seconds / 4, 1.0))
    raise SourceLost(problem or f"the folder has had no new picture for {_LOST_AFTER * every_seconds:g} s")


def _pictures(folder: Path) -> dict[str, _Facts]:
    """The pictures of a folder, and of those in it."""
    found: dict[str, _Facts] = {}
    try:
        _look(folder, found, _DEEPEST)
    except OSError as err:
        raise SourceLost(in_words(err, "the folder")) from err
    return found


def _look(folder: "Path | str", found: dict[str, _Facts], depth: int) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # somebody clears up, a link leads nowhere, a folder is closed to others
                if entry.is_dir(follow_symlinks=False):
                    if depth and not entry.name.startswith("."):
                        _look(entry.path, found, depth - 1)
                elif os.path.splitext(entry.name)[1].lower() in _SUFFIXES and entry.is_file():
                    facts = entry.stat()
                    if 0 < facts.st_size <= MAX_FILE_BYTES:
                        found[entry.path] = (facts.st_mtime_ns, facts.st_size)


def _is_settled(facts: _Facts, before: _Facts | None) -> bool:
    """Whether nobody is writing a file any more: unchanged for a moment, by the clock or since the last look."""
    return time.time() - facts[0] / 1e9 >= _SETTLED_SECONDS or facts == before


def _content(file: Path) -> tuple[bytes, str]:
    """A file's content, or what is wrong with it; neither if it is gone."""
    try:
        return file.read_bytes(), ""
    except FileNotFoundError:
        return b"", ""
    except OSError as err:
        return b"", in_words(err, "the newest picture of the folder")
