"""Zip and HDF5 files that others wrote, within the size that a network can have."""

import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import h5py

from crowdserve.errors import WeightsError

MOST_BYTES = 2 << 30
"""Of all weights in one file: four times those of VGG16 with its head."""
_CHUNK_BYTES = 1 << 20


def member_names(path: Path) -> list[str]:
    """Names of a zip file's members; none if it is no zip file.

    Raises:
        WeightsError: If it is damaged.
    """
    if not path.is_file() or not zipfile.is_zipfile(path):
        return []
    with damage_told(path, "zip file"), zipfile.ZipFile(path) as archive:
        return archive.namelist()


def check_inflated_size(path: Path) -> None:
    """Check that what a zip or HDF5 file inflates to is no more than a network can have; other files pass.

    Raises:
        WeightsError: If it is more, or the file is damaged.
    """
    if zipfile.is_zipfile(path):
        with damage_told(path, "zip file"), zipfile.ZipFile(path) as archive:
            _check_size(path, sum(member.file_size for member in archive.infolist()))
    elif h5py.is_hdf5(path):
        with damage_told(path, "HDF5 file"), h5py.File(path) as file:
            check_arrays(path, file)


def check_arrays(path: Path, file: h5py.Group) -> None:
    """Check that the arrays of an HDF5 file are no more than a network can have.

    Args:
        path: Where it comes from, for the message.
        file: Its content.

    Raises:
        WeightsError: If they are more.
    """
    sizes = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item.nbytes)

    file.visititems(visit)
    _check_size(path, sum(sizes))


@contextmanager
def damage_told(path: Path, kind: str) -> Iterator[None]:
    """Tell what a reader raises about a damaged file as an error of its own.

    Args:
        path: The file.
        kind: What it should be.

    Raises:
        WeightsError: If the block raises anything that readers raise.
    """
    try:
        yield
    except (OSError, LookupError, ValueError, TypeError, AttributeError, EOFError, RuntimeError, MemoryError,
            tarfile.TarError, zipfile.BadZipFile, zlib.error) as err:  # fmt: skip
        reason = (str(err).splitlines() or [type(err).__name__])[0][:200]
        raise WeightsError(f"{path} is damaged or no {kind} ({reason}); fetch it again") from err


def _check_size(path: Path, total: int) -> None:
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
def copied(source: IO[bytes], name: str, archive: Path) -> Iterator[Path]:
    """Yield a copy of a member, in a folder that is deleted at the end; errors in the block name the archive instead.

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
        try:
            yield target
        except WeightsError as err:
            raise WeightsError(str(err).replace(str(target), f"{archive} ({name})")) from err
