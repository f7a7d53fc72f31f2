"""Placement of a bundle in a store: a folder, such as a mounted volume claim, or a prefix in S3.

An address holds one bundle forever, since a running service may read from it: equal files there are skipped, different
ones are refused. The manifest comes last, so that a bundle that has one is complete; an interrupted push continues when
it is run again.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from crowdserve.bundle.manifest import MANIFEST_FILE, FileEntry, Manifest, describe_files, hash_file
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
    record = folder / MANIFEST_FILE
    files = {**manifest.files, MANIFEST_FILE: FileEntry(manifest.digest.removeprefix("sha256:"), record.stat().st_size)}
    there = store.listing()
    _check_free(store.address, files, there)
    for path, entry in files.items():  # the manifest is the last
        if path not in there:
            store.put(path, folder / path, entry)
        progress(entry.size_bytes)


def _check_free(address: str, files: dict[str, FileEntry], there: dict[str, str]) -> None:
    others = [path for path, sha256 in there.items() if path not in files or files[path].sha256 != sha256]
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


class FolderStore:
    """A folder, such as one of a mounted claim."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder)
        self._folder = folder

    def listing(self) -> dict[str, str]:
        """SHA-256 of every file there."""
        try:
            if not self._folder.exists():
                return {}
            if not self._folder.is_dir():
                raise BundleError(f"{self._folder} is a file; name a folder")
            found = {path: entry.sha256 for path, entry in describe_files(self._folder).items()}
            manifest = self._folder / MANIFEST_FILE
            return found | ({MANIFEST_FILE: hash_file(manifest)} if manifest.is_file() else {})
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
