"""Members of zip files that others wrote, within the size that a network can have."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from crowdserve.errors import WeightsError

MOST_BYTES = 2 << 30
"""Of all weights in one file: four times those of VGG16 with its head."""
_CHUNK_BYTES = 1 << 20


def member_names(path: Path) -> list[str]:
    """Names of a zip file's members; none if it is no zip file."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def check_inflated_size(path: Path) -> None:
    """Check that what a zip file inflates to is no more than a network can have; other files pass.

    Raises:
        WeightsError: If it is more.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        total = sum(member.file_size for member in archive.infolist())
    if total > MOST_BYTES:
        raise WeightsError(f"{path} would inflate to {total / 1e9:.1f} GB; no network here has {MOST_BYTES / 1e9:.1f}")


def checked_name(name: object) -> str:
    """A name that leads to a member of an archive.

    Raises:
        WeightsError: If it is no text, or leads out of the archive.
    """
    if not isinstance(name, str) or not name or name.startswith("/") or ".." in PurePosixPath(name).parts:
        raise WeightsError(f"the archive names the file {name!r:.100}; expected a name inside of it")
    return name


@contextmanager
def copied(source: IO[bytes], name: str) -> Iterator[Path]:
    """Yield a copy of a member, in a folder that is deleted at the end.

    Raises:
        WeightsError: If it is larger than a network can be, whatever the archive says of it.
    """
    with tempfile.TemporaryDirectory(prefix="crowdserve-") as folder:
        target = Path(folder) / PurePosixPath(name).name
        size = 0
        with target.open("wb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > MOST_BYTES:
                    raise WeightsError(f"{name} has over {MOST_BYTES / 1e9:.1f} GB, which no network here has")
                file.write(chunk)
        yield target
