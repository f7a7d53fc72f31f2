"""The manifest of a bundle, `manifest.json`, and the comparison of a folder with it.

It imports little beyond the standard library, so that the transformer checks its repository at no cost in imports.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from crowdserve.errors import BundleError

MANIFEST_FILE = "manifest.json"
FORMAT = 1

MAX_MANIFEST_BYTES = 1 << 20
"""Far more than the manifest of any bundle has."""

PLAN_FILE = "model.plan"
"""Engine built after the bundle on the serving GPU: allowed beside a model of the tensorrt profile."""

FOREIGN_FOLDERS = frozenset({"lost+found"})  # of a volume's file system
_SHOWN_PROBLEMS = 20


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
        """The differences of a folder, one line per file: missing, extra or changed.

        Hidden files are ignored, as they are no models, and so is a `model.plan` of the tensorrt profile.
        """
        found = set(list_files(folder))
        problems = [
            _difference(folder / path, path, entry) if path in found else f"{path} is missing"
            for path, entry in self.files.items()
        ]
        extra = sorted(path for path in found - set(self.files) if not self._may_have(path))
        return [problem for problem in problems if problem] + [f"{path} is extra" for path in extra]

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

    def _may_have(self, path: str) -> bool:
        model = str(PurePosixPath(path).with_name("model.onnx"))
        is_plan = self.profile == "tensorrt" and PurePosixPath(path).name == PLAN_FILE and model in self.files
        return path == MANIFEST_FILE or is_plan


def describe_files(folder: Path) -> dict[str, FileEntry]:
    """Size and SHA-256 of every file of a folder except its manifest."""
    paths = [path for path in list_files(folder) if path != MANIFEST_FILE]
    return {path: FileEntry(hash_file(folder / path), (folder / path).stat().st_size) for path in paths}


def list_files(folder: Path) -> Iterator[str]:
    """Paths of the files in a folder, sorted, with forward slashes; without hidden ones and a volume's own."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(p.startswith(".") or p in FOREIGN_FOLDERS for p in parts):
            yield "/".join(parts)


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
        content = (folder / MANIFEST_FILE).read_bytes()
    except FileNotFoundError:
        raise BundleError(
            f"{shown_as or folder} has no {MANIFEST_FILE}: it is not a bundle, or its copy was interrupted; "
            "make one with crowdserve bundle build, or push it again"
        ) from None
    except OSError as err:
        raise BundleError(f"{path} cannot be read: {err}; copy or push the bundle again") from err
    return parse_manifest(content, path)


def parse_manifest(content: bytes, path: Path | str) -> Manifest:
    """The manifest in the bytes of a `manifest.json`.

    Args:
        content: The bytes.
        path: Where they are from, for an error.

    Raises:
        BundleError: If it cannot be read, or names a file that could not lie in a bundle's folder.
    """
    try:
        return _parsed(json.loads(content), path)
    except (ValueError, RecursionError) as err:
        raise BundleError(f"{path} cannot be read: {err}; copy or push the bundle again") from err


def _parsed(content: Any, path: Path | str) -> Manifest:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else content
        raise BundleError(f"{path} has format {found!r}, expected {FORMAT}; read it with the crowdserve that built it")
    try:
        manifest = Manifest(
            crowdserve=str(content["crowdserve"]),
            profile=str(content["profile"]),
            models={name: tuple(map(int, versions)) for name, versions in content["models"].items()},
            files={name: FileEntry(str(f["sha256"]), int(f["size_bytes"])) for name, f in content["files"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise BundleError(
            f"{path} is not a manifest of a bundle ({type(err).__name__}: {err}); build it again"
        ) from err
    strange = [name for name, entry in manifest.files.items() if not _is_inside(name) or entry.size_bytes < 0]
    if strange or not manifest.files:
        raise BundleError(f"{path} names {strange or 'no files'}, expected files inside the bundle; build it again")
    return manifest


def _is_inside(path: str) -> bool:
    """Whether a path names a visible file below the bundle's folder, on every operating system."""
    is_visible = all(part and not part.startswith(".") for part in path.split("/"))
    return is_visible and path != MANIFEST_FILE and not set(path) & set("\\:\0")


def _difference(file: Path, name: str, entry: FileEntry) -> str | None:
    size_bytes = file.stat().st_size
    if size_bytes != entry.size_bytes:
        return f"{name} is changed: {size_bytes:,} bytes, expected {entry.size_bytes:,}"
    try:
        sha256 = hash_file(file)
    except OSError as err:
        return f"{name} cannot be read: {err.strerror}"
    return f"{name} is changed: SHA-256 {sha256}, expected {entry.sha256}" if sha256 != entry.sha256 else None


def hash_file(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def no_manifest(address: str) -> BundleError:
    """The error of a place without a manifest."""
    return BundleError(
        f"{address} has no {MANIFEST_FILE}: it is no bundle, or its copy was interrupted; make one with crowdserve "
        "bundle build, or push it again"
    )
