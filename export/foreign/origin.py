"""Where imported weights come from, for meta.json."""

import hashlib
from pathlib import Path


def origin(source: str, path: Path) -> dict[str, object]:
    """The record of a checkpoint's origin.

    Args:
        source: What it is, such as ``published pth``.
        path: The file or folder that was given.
    """
    return {"source": source, "file": path.name, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    """Of a file, or of a folder's files with their names."""
    if path.is_file():
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {_sha256(file)}\n".encode())
    return digest.hexdigest()
