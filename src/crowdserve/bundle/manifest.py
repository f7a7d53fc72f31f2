"""The manifest of a bundle, `manifest.json`, and the comparison of a folder with it.

It imports little beyond the standard library, so that the transformer checks its repository at no cost in imports.
"""

import hashlib
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from crowdserve.bundle.folder import hash_file, list_files, parents_of, printable, scan_folder
from crowdserve.bundle.neighbours import (
    MANIFEST_FILE,
    PLAN_FILE,
    PLANS_FILE,
    RESERVED,
    is_neighbour,
    read_plan_hashes,
)
from crowdserve.errors import BundleError

FORMAT = 1

MAX_MANIFEST_BYTES = 1 << 20
"""Far more than the manifest of any bundle has."""

_SHOWN_PROBLEMS = 20
_SHA256 = re.compile("[0-9a-f]{64}")
_PATH = re.compile(r"(?!-)[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
_WORD = re.compile(r"[\w.+!-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a bundle."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Contents of a bundle.

    Attributes:
        crowdserve: Version of crowdserve that built it.
        profile: Profile of its Triton repository.
        models: Versions of every network, ascending; Triton serves the last.
        files: Every file except the manifest, by its path with forward slashes.
    """

    crowdserve: str
    profile: str
    models: Mapping[str, tuple[int, ...]]
    files: Mapping[str, FileEntry]

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(entry.size_bytes for entry in self.files.values())

    @property
    def digest(self) -> str:
        """``sha256:…`` of the manifest: two bundles with the same digest are equal to the last byte."""
        return f"sha256:{hashlib.sha256(self.to_bytes()).hexdigest()}"

    def to_bytes(self) -> bytes:
        """The content of `manifest.json`; the same manifest gives the same bytes."""
        content = {"format": FORMAT, **asdict(self)}
        return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()

    def differences(self, folder: Path) -> list[str]:
        """The differences of a folder, one line each: what is missing, extra, changed or no ordinary file.

        Hidden files and folders count, since Triton serves a hidden folder like any other. Only the files that
        `crowdserve.bundle.neighbours` names may lie beside those of the manifest.
        """
        found = scan_folder(folder)
        problems = [
            f"{path} is missing" if path not in found.files else _difference(folder / path, path, entry)
            for path, entry in self.files.items()
            if path not in found.strange
        ]
        plans = {path for path in found.files - set(self.files) if self._may_be_plan(path)}
        if plans or (self.profile == "tensorrt" and PLANS_FILE in found.files):
            problems += self._plan_differences(folder, plans, found.files)
        beside = found.files - set(self.files) - plans
        extra = {path for path in beside if not is_neighbour(path, self.files)}
        if self.profile == "tensorrt":
            extra.discard(PLANS_FILE)
        expected = parents_of(found.files | found.folders | set(found.strange) | set(self.files))
        extra |= found.folders - expected  # a folder with something inside is named by that
        lines = [f"{printable(path)} is extra" for path in sorted(extra)]
        lines += [f"{printable(path)} is {what}" for path, what in sorted(found.strange.items())]
        return [problem for problem in problems if problem] + lines

    def check(self, folder: Path, *, shown_as: Path | str | None = None) -> None:
        """Check that a folder holds exactly the files of this manifest.

        Args:
            folder: Folder with the files.
            shown_as: Name of the folder in errors, if it is a temporary one.

        Raises:
            BundleError: If a file is missing, extra or changed; the message names each.
        """
        problems = self.differences(folder)
        if not problems:
            return
        shown = problems[:_SHOWN_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        raise BundleError(
            f"{shown_as or folder} is not what its {MANIFEST_FILE} says:\n  " + "\n  ".join(shown) + "\n"
            "copy or push the whole bundle again; after an intended change build a new one: crowdserve bundle build"
        )

    def _may_be_plan(self, path: str) -> bool:
        model = str(PurePosixPath(path).with_name("model.onnx"))
        return self.profile == "tensorrt" and PurePosixPath(path).name == PLAN_FILE and model in self.files

    def _plan_differences(self, folder: Path, plans: set[str], files: set[str]) -> list[str | None]:
        advice = "let the Job that builds plans build them again"
        hashes = read_plan_hashes(folder) if PLANS_FILE in files else None
        if hashes is None:
            return [f"{PLANS_FILE} is missing or damaged: {advice}"]
        unknown = [f"{path} is not in {PLANS_FILE}: {advice}" for path in sorted(plans - set(hashes))]
        there = {path for path in hashes if path in files and self._may_be_plan(path)}
        gone = [f"{printable(path)} is in {PLANS_FILE} and is no plan here" for path in sorted(set(hashes) - there)]
        return [*unknown, *gone, *(_hash_difference(folder / path, path, hashes[path]) for path in sorted(there))]


def describe_files(folder: Path) -> dict[str, FileEntry]:
    """Size and SHA-256 of every visible file of a folder except its manifest."""
    return {path: describe_file(folder / path) for path in list_files(folder) if path not in RESERVED}


def describe_file(file: Path) -> FileEntry:
    """Size and SHA-256 of a file."""
    return FileEntry(hash_file(file), file.stat().st_size)


def read_manifest(folder: Path, *, shown_as: Path | None = None) -> Manifest:
    """The manifest of a bundle's folder.

    Args:
        folder: Folder of the bundle.
        shown_as: Name of the folder in errors, if it is a temporary one.

    Raises:
        BundleError: If there is no manifest, or it cannot be read.
    """
    path = (shown_as or folder) / MANIFEST_FILE
    try:
        if not stat.S_ISREG((folder / MANIFEST_FILE).lstat().st_mode):
            raise BundleError(f"{path} is no ordinary file; copy or push the bundle again")
        with (folder / MANIFEST_FILE).open("rb") as file:
            content = file.read(MAX_MANIFEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise no_manifest(str(shown_as or folder)) from None
    except OSError as err:
        raise BundleError(f"{path} cannot be read: {err}; copy or push the bundle again") from err
    return parse_manifest(content, path)


def parse_manifest(content: bytes, path: Path | str) -> Manifest:
    """The manifest in the bytes of a `manifest.json`.

    Only the bytes that crowdserve itself writes are taken, so that the SHA-256 of the file is the bundle's digest, and
    no other program can read anything else out of it.

    Args:
        content: The bytes.
        path: Where they are from, for an error.

    Raises:
        BundleError: If it cannot be read, or names a file that could not lie in a bundle's folder.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path} is larger than the {MAX_MANIFEST_BYTES:,} bytes of any manifest; build it again")
    try:
        manifest = _parsed(json.loads(content), path)
    except (ValueError, OverflowError, RecursionError) as err:
        raise BundleError(f"{path} cannot be read: {err}; copy or push the bundle again") from err
    if manifest.to_bytes() != content:
        raise BundleError(f"{path} was written or changed by another program than crowdserve; build the bundle again")
    return manifest


def _parsed(content: Any, path: Path | str) -> Manifest:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else content
        shown = f"{found!r:.40}"
        raise BundleError(f"{path} has format {shown}, expected {FORMAT}; read it with the crowdserve that built it")
    try:
        manifest = Manifest(
            crowdserve=str(content["crowdserve"]),
            profile=str(content["profile"]),
            models={name: tuple(map(int, versions)) for name, versions in content["models"].items()},
            files={name: FileEntry(str(f["sha256"]), int(f["size_bytes"])) for name, f in content["files"].items()},
        )
    except (KeyError, TypeError, AttributeError) as err:
        raise BundleError(
            f"{path} is not a manifest of a bundle ({type(err).__name__}: {err}); build it again"
        ) from err
    words = (manifest.crowdserve, manifest.profile, *manifest.models)
    if not all(_WORD.fullmatch(word) for word in words):
        raise BundleError(f"{path} is not a manifest of a bundle (it has the names {words!r:.200}); build it again")
    strange = [name for name, entry in manifest.files.items() if not _is_possible(name, entry)]
    if strange or not manifest.files:
        shown = f"{strange[:3]}" if strange else "no files"
        raise BundleError(f"{path} names {shown}, expected files inside the bundle, in letters, digits, _ - .")
    _check_apart(manifest, path)
    return manifest


def _check_apart(manifest: Manifest, path: Path | str) -> None:
    """Refuse names that are one file where upper and lower case are the same, and a file that is a folder too."""
    names: dict[str, str] = {}
    for name in (*(f"{folder}/" for folder in parents_of(set(manifest.files))), *manifest.files):
        other = names.setdefault(name.rstrip("/").casefold(), name)
        if other != name:
            raise BundleError(f"{path} names {other!r} and {name!r}, which may be one place; rename one, build again")


def _is_possible(path: str, entry: FileEntry) -> bool:
    return _is_inside(path) and entry.size_bytes >= 0 and _SHA256.fullmatch(entry.sha256) is not None


def _is_inside(path: str) -> bool:
    """Whether a path names a visible file below the bundle's folder, on every operating system and for every shell."""
    return _PATH.fullmatch(path) is not None and path.lower() not in RESERVED


def _difference(file: Path, name: str, entry: FileEntry) -> str | None:
    size_bytes = file.stat().st_size
    if size_bytes != entry.size_bytes:
        return f"{name} is changed: {size_bytes:,} bytes, expected {entry.size_bytes:,}"
    return _hash_difference(file, name, entry.sha256)


def _hash_difference(file: Path, name: str, expected: str) -> str | None:
    try:
        sha256 = hash_file(file)
    except OSError as err:
        return f"{name} cannot be read: {err.strerror}"
    return f"{name} is changed: SHA-256 {sha256}, expected {expected}" if sha256 != expected else None


def no_manifest(address: str) -> BundleError:
    """The error of a place without a manifest."""
    return BundleError(
        f"{address} has no {MANIFEST_FILE}: it is no bundle, or its copy was interrupted; make one with crowdserve "
        "bundle build, or push it again"
    )
