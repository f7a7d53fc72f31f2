"""What a folder really holds: hidden files, links and empty folders too, since a server may read each of them."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LOST_AND_FOUND = "lost+found"
"""A folder at the root of a volume's file system: passed over while it is empty, or closed to us."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything below a folder, by its path with forward slashes.

    Attributes:
        files: Ordinary files.
        folders: Folders.
        strange: Everything else, and what it is.
    """

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    strange: dict[str, str] = field(default_factory=dict)


def scan_folder(folder: Path) -> Contents:
    """Everything below a folder; no link is followed but the folder itself, which KServe may have linked.

    Raises:
        OSError: If the folder cannot be read.
    """
    found, left = Contents(), [""]
    while left:
        parent = left.pop()
        try:
            with os.scandir(folder / parent) as entries:
                for entry in entries:
                    path = f"{parent}/{entry.name}" if parent else entry.name
                    if _sort(entry, path, found):
                        left.append(path)
        except OSError as err:
            if not parent:
                raise
            found.folders.discard(parent)
            if parent != LOST_AND_FOUND:
                found.strange[parent] = f"a folder that cannot be read ({err.strerror})"
    if not any(path.startswith(f"{LOST_AND_FOUND}/") for path in (*found.files, *found.folders, *found.strange)):
        found.folders.discard(LOST_AND_FOUND)
    return found


def _sort(entry: "os.DirEntry[str]", path: str, found: Contents) -> bool:
    """Note an entry; whether it is a folder to look into."""
    if entry.is_symlink():
        found.strange[path] = "a link"
    elif entry.is_dir(follow_symlinks=False):
        found.folders.add(path)
        return True
    elif entry.is_file(follow_symlinks=False):
        found.files.add(path)
    else:
        found.strange[path] = "neither a file nor a folder"
    return False


def parents_of(paths: "set[str] | frozenset[str]") -> set[str]:
    """Every folder that some paths lie in, at any depth."""
    parents: set[str] = set()
    for path in paths:
        while (path := path.rpartition("/")[0]) and path not in parents:
            parents.add(path)
    return parents


def list_files(folder: Path) -> Iterator[str]:
    """Paths of the visible files in a folder, sorted, with forward slashes."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") or part == LOST_AND_FOUND for part in parts):
            yield "/".join(parts)


def printable(path: str) -> str:
    """A path as a terminal or a log may show it: whoever names a file may put anything into its name."""
    return path if path.isprintable() else ascii(path)


def hash_file(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
