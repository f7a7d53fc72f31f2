"""Photos that a command line names: files, patterns, and folders, which are walked.

A named file is counted, whatever it is called. A folder stands for every photo below it in the order of names: without
hidden files, and each folder once, wherever links lead. A pattern is for shells that do not replace it. Videos and raw
files of cameras are answered here with what to do, rather than sent.
"""

import glob
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain
from pathlib import Path

from crowdserve.cli.overlays import SUFFIX
from crowdserve.images.formats.kinds import kind_of
from crowdserve.images.formats.signatures import EXPORT_RAW, EXTRACT_FRAMES, Kind
from crowdserve.terminal import printable

_SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".hif",
    ".avif", ".jp2", ".jxl",
}  # fmt: skip
"""Names of photos. Such a file is sent even if its first bytes are nothing known: the service says what is wrong."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/[^/]")
"""What a URL begins with once it was taken for a path, which has one slash of two."""

_OVERLAY = f".overlay{SUFFIX}"
_START_BYTES = 64 << 10
"""Enough of a file to tell its kind."""


class Verdict(Enum):
    """What is done with a file."""

    COUNTED = auto()
    REFUSED = auto()
    PASSED_OVER = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or a folder that cannot be read.

    Attributes:
        path: Its path.
        verdict: What is done with it.
        reason: Why it is not counted, for those that are refused or passed over.
    """

    path: Path
    verdict: Verdict = Verdict.COUNTED
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a command line stands for.

    Attributes:
        meant: Photos and what was meant as one, in order: counted or refused.
        passed_over: Videos and raw files of cameras in folders.
        others: Number of other files in folders.
        folders: Folders and patterns among the arguments.
    """

    meant: tuple[Found, ...]
    passed_over: tuple[Found, ...]
    others: int
    folders: tuple[Path, ...]

    @property
    def photos(self) -> list[Path]:
        """The files to count."""
        return [found.path for found in self.meant if found.verdict is Verdict.COUNTED]


def select_photos(arguments: Sequence[Path]) -> Selection:
    """The photos that arguments stand for."""
    found = list(chain.from_iterable(map(_found, arguments)))
    by_verdict = {verdict: [each for each in found if each.verdict is verdict] for verdict in Verdict}
    return Selection(
        meant=tuple(each for each in found if each.verdict in {Verdict.COUNTED, Verdict.REFUSED}),
        passed_over=tuple(by_verdict[Verdict.PASSED_OVER]),
        others=len(by_verdict[Verdict.OTHER]),
        folders=tuple(argument for argument in arguments if argument.is_dir() or _is_pattern(argument)),
    )


def _found(argument: Path) -> Iterator[Found]:
    if _is_address(argument):
        yield Found(
            argument,
            Verdict.REFUSED,
            "this is a URL, and files are counted: a camera's stream or snapshot is counted by crowdserve watch URL, a "
            "photo once it was fetched: curl -o photo.jpg URL",
        )
    elif argument.is_dir():
        yield from _in_folder(argument)
    elif _is_pattern(argument):
        yield from _matches(argument)
    else:
        yield _named(argument)


def _is_address(argument: Path) -> bool:
    return _ADDRESS.match(str(argument)) is not None and not os.path.lexists(argument)


def _is_pattern(argument: Path) -> bool:
    return glob.has_magic(str(argument)) and not os.path.lexists(argument) and not _is_address(argument)


def _matches(pattern: Path) -> Iterator[Found]:
    matches = sorted(map(Path, glob.glob(str(pattern), recursive=True)))
    if not matches:
        yield Found(pattern, Verdict.REFUSED, "no file matches")
    taken: set[Path] = set()
    for match in matches:
        for found in _in_folder(match) if match.is_dir() else [_judged(match)]:
            if found.path not in taken:  # the pattern ** matches a folder and what is in it
                yield found
            taken.add(found.path)


def _in_folder(folder: Path) -> Iterator[Found]:
    errors: list[OSError] = []
    seen: set[tuple[int, int]] = set()
    _is_new(folder, seen)
    for root, folders, files in os.walk(folder, onerror=errors.append, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and _is_new(Path(root, name), seen))
        yield from (_judged(Path(root, name)) for name in sorted(files) if not name.startswith("."))
    yield from (Found(Path(os.fsdecode(err.filename)), Verdict.REFUSED, _reason(err)) for err in errors)


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether a folder has not been seen before, under any name: a link may lead to one that it stands in."""
    try:
        found = folder.stat()
    except OSError:
        return True  # the walk will say so
    key = found.st_dev, found.st_ino
    is_new = key not in seen
    seen.add(key)
    return is_new


def _named(file: Path) -> Found:
    """A file that was named: only a video or the like is not sent."""
    try:
        kind = _kind(file)
    except OSError as err:
        return Found(file, Verdict.REFUSED, _reason(err))
    if kind is None or not _is_to_convert(kind):
        return Found(file)
    if kind.advice != EXTRACT_FRAMES:
        return Found(file, Verdict.REFUSED, f"this is {kind.name}: {kind.advice}")
    shown = printable(file)
    return Found(
        file,
        Verdict.REFUSED,
        f"this is {kind.name}: count it over its time with crowdserve watch {shown}, or extract frames: "
        f"mkdir frames; ffmpeg -i {shown} -vf fps=1 frames/%06d.jpg; crowdserve count frames",
    )


def _judged(file: Path) -> Found:
    """A file in a folder: counted if it is a photo, or is called like one."""
    try:
        kind = _kind(file)
    except OSError as err:
        return Found(file, Verdict.REFUSED, _reason(err))
    if kind is not None and _is_to_convert(kind):
        return Found(file, Verdict.PASSED_OVER, f"{kind.name}: {kind.advice}")
    is_photo = file.suffix.lower() in _SUFFIXES or (kind is not None and kind.pillow is not None)
    return Found(file, Verdict.COUNTED if is_photo and not file.name.endswith(_OVERLAY) else Verdict.OTHER)


def _kind(file: Path) -> Kind | None:
    """The kind of a file by its first bytes; a pipe is not touched."""
    if not stat.S_ISREG(file.stat().st_mode):
        return None
    with file.open("rb") as opened:
        return kind_of(opened.read(_START_BYTES))


def _is_to_convert(kind: Kind) -> bool:
    return kind.pillow is None and kind.advice in {EXTRACT_FRAMES, EXPORT_RAW}


def _reason(err: OSError) -> str:
    return err.strerror or str(err)
