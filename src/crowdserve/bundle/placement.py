"""Bundle → a place that keeps files: a folder, such as a mounted claim, or a prefix in S3.

An address holds one bundle for ever, since a running service may read from it: what is there already is skipped, what
differs is refused. The manifest comes last, so that a bundle that has one is whole; an interrupted push is taken up by
running it again.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from crowdserve.bundle.manifest import MANIFEST_FILE, FileEntry, Manifest, describe_files, hash_file
from crowdserve.errors import BundleError

Progress = Callable[[int], None]
"""Called with the number of bytes that were dealt with since the last call."""


class Store(Protocol):
    """A place that keeps files under paths."""

    address: str
    """As an operator writes it into `storageUri`, or a folder's path."""

    def listing(self) -> dict[str, str]:
        """SHA-256 of every file there, by path; "unknown" where the store cannot tell."""

    def put(self, path: str, file: Path, entry: FileEntry) -> None:
        """Store a file, whole or not at all."""


def place_bundle(folder: Path, manifest: Manifest, store: Store, progress: Progress = lambda _: None) -> None:
    """Bring a bundle to a store.

    Args:
        folder: The bundle; it was compared with its manifest.
        manifest: The bundle's.
        store: Where it goes.
        progress: Called after each file.

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
    """Make a folder, and those above it that are missing, which every pod may enter whatever the umask."""
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
        """Copy a file beside its place, then put it there."""
        target = self._folder / path
        partial = target.with_name(f".{target.name}.partial")
        try:
            make_folder(target.parent)
            shutil.copyfile(file, partial)
            partial.chmod(0o644)
            os.replace(partial, target)
        except OSError as err:
            raise BundleError(f"{target} cannot be written: {err.strerror}; check the volume and its rights") from err
