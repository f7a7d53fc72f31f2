"""Bundles as `.tar` files: the same folder gives the same bytes for every user, machine and time."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from crowdserve.bundle.manifest import Manifest, read_manifest
from crowdserve.errors import BundleError

SUFFIX = ".tar"


def write_tar(stream: IO[bytes], folder: Path, paths: Iterable[str], *, prefix: str = "") -> None:
    """Pack files and the folders above them: sorted, owned by root, readable by everyone, dated 1970.

    Args:
        stream: Stream that the archive is written to.
        folder: Folder of the files.
        paths: Paths relative to `folder`, with forward slashes.
        prefix: Prefix of every path in the archive.
    """
    files = {f"{prefix}{path}": folder / path for path in paths}
    parents = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(parents | set(files)):
            member = tarfile.TarInfo(name)
            if name in parents:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
                continue
            member.mode, member.size = 0o644, files[name].stat().st_size
            with files[name].open("rb") as content:
                archive.addfile(member, content)


@contextmanager
def opened_bundle(path: Path) -> Iterator[tuple[Path, Manifest]]:
    """Yield a bundle's folder and its manifest; a `.tar` is unpacked while the block runs. Nothing is verified.

    Raises:
        BundleError: If `path` is not a bundle.
    """
    if path.is_dir():
        yield path, read_manifest(path)
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="crowdserve-bundle-") as folder:
            _unpack(path, Path(folder))
            yield Path(folder), read_manifest(Path(folder), shown_as=path)
    else:
        raise BundleError(f"{path} is neither a folder nor a file; make a bundle with crowdserve bundle build")


def _unpack(path: Path, folder: Path) -> None:
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                _unpack_member(archive, member, folder)
    except (tarfile.TarError, EOFError, OSError, ValueError) as err:
        raise BundleError(f"{path} cannot be unpacked ({err}); expected a complete {SUFFIX} file") from err


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one file or folder, without the archive's owners, modes and links.

    Raises:
        ValueError: If the member is neither, or lies outside the folder.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{member.name} lies outside of the bundle")
    target = folder / name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    content = archive.extractfile(member) if member.isfile() else None
    if content is None:
        raise ValueError(f"{member.name} is neither a file nor a folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)
