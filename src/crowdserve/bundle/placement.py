"""Placement of a bundle in a store: a folder, such as a mounted volume claim, or a prefix in S3.

An address holds one bundle forever, since a running service may read from it: equal files there are skipped, different
ones are refused. The manifest comes last, so that a bundle that has one is complete; an interrupted push continues when
it is run again.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from crowdserve.bundle.folder import hash_file, printable, scan_folder
from crowdserve.bundle.manifest import FileEntry, Manifest, describe_file
from crowdserve.bundle.neighbours import MANIFEST_FILE, SIGNATURE_FILE
from crowdserve.errors import BundleError

Progress = Callable[[int], None]
"""Function that takes the number of bytes handled since its last call."""


class Store(Protocol):
    """A place that keeps files under paths."""

    address: str
    """The address for `storageUri`, or a folder's path."""

    def listing(self) -> dict[str, str]:
        """SHA-256 of every file there, by path; "unknown" where the store cannot tell."""

    def put(self, path: str, file: Path, entry: FileEntry) -> None:
        """Store a file, completely or not at all."""


def place_bundle(folder: Path, manifest: Manifest, store: Store, progress: Progress = lambda _: None) -> None:
    """Copy a bundle to a store.

    Args:
        folder: Folder of the bundle, already compared with its manifest.
        manifest: Manifest of the bundle.
        store: Store that takes the bundle.
        progress: Function called after each file.

    Raises:
        BundleError: If another bundle, or anything else, is there already, or the store refuses a file.
    """
    beside = [path for path in (SIGNATURE_FILE, MANIFEST_FILE) if (folder / path).is_file()]
    files = {**manifest.files, **{path: describe_file(folder / path) for path in beside}}
    there = store.listing()
    if MANIFEST_FILE in there and SIGNATURE_FILE not in files:
        there.pop(SIGNATURE_FILE, None)  # it was signed there
    _check_free(store.address, files, there)
    for path, entry in files.items():  # the manifest is the last
        if path not in there:
            store.put(path, folder / path, entry)
        progress(entry.size_bytes)


def _check_free(address: str, files: dict[str, FileEntry], there: dict[str, str]) -> None:
    others = [printable(path) for path, sha256 in there.items() if path not in files or files[path].sha256 != sha256]
    if others:
        raise BundleError(
            f"{address} holds something else: {_shortened(sorted(others))}. A service may be reading it: push to a new "
            "address, such as one that ends in a date or a version"
        )


def _shortened(names: Iterable[str], at_most: int = 5) -> str:
    names = list(names)
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, open to every pod whatever the umask."""
    for each in reversed([folder, *folder.parents]):
        if not each.is_dir():
            each.mkdir(exist_ok=True)
            each.chmod(0o755)


_PARTIAL = re.compile(r"\..+\.partial")


class FolderStore:
    """A folder, such as one of a mounted claim."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder)
        self._folder = folder

    def listing(self) -> dict[str, str]:
        """SHA-256 of every file there, hidden ones too, less those that an interrupted push left half written."""
        try:
            if not self._folder.exists():
                return {}
            if not self._folder.is_dir():
                raise BundleError(f"{self._folder} is a file; name a folder")
            found = scan_folder(self._folder)
            files = sorted(path for path in found.files if not _PARTIAL.fullmatch(path.rpartition("/")[2]))
            return {path: hash_file(self._folder / path) for path in files} | found.strange
        except OSError as err:
            place = err.filename or self._folder
            raise BundleError(f"{place} cannot be read: {err.strerror}; check the volume and its rights") from err

    def put(self, path: str, file: Path, entry: FileEntry) -> None:
        """Copy a file beside its target, then rename it."""
        target = self._folder / path
        partial = target.with_name(f".{target.name}.partial")
        try:
            make_folder(target.parent)
            shutil.copyfile(file, partial)
            partial.chmod(0o644)
            os.replace(partial, target)
        except OSError as err:
            raise BundleError(f"{target} cannot be written: {err.strerror}; check the volume and its rights") from err
