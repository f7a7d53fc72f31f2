"""Bundles as `.tar` files: the same folder gives the same bytes for every user, machine and time."""

import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from crowdserve.bundle.manifest import MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, read_manifest
from crowdserve.errors import BundleError

SUFFIX = ".tar"

CHUNK_BYTES = 1 << 18

_MEMBER_BYTES = 2 << 10  # header, extended header, padding
_FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE)


def write_tar(stream: IO[bytes], folder: Path, paths: Iterable[str], *, prefix: str = "") -> None:
    """Pack files and the folders above them: sorted, owned by root, readable by everyone, dated 1970.

    The manifest comes first, so that a download is known by its first bytes.

    Args:
        stream: Stream that the archive is written to.
        folder: Folder of the files.
        paths: Paths relative to `folder`, with forward slashes.
        prefix: Prefix of every path in the archive.
    """
    files = {f"{prefix}{path}": folder / path for path in paths}
    parents = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(parents | set(files), key=lambda name: (name != MANIFEST_FILE, name)):
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


class LimitedStream(io.RawIOBase):
    """Bytes that arrive in chunks, as a file to read from; refuses to pass on more than a limit.

    Args:
        chunks: The bytes.
        limit_bytes: How many may arrive; the attribute may be raised later.
        name: What an error calls them.

    Attributes:
        arrived_bytes: How many have arrived.
    """

    def __init__(self, chunks: Iterator[bytes], limit_bytes: int, name: str) -> None:
        super().__init__()
        self.limit_bytes = limit_bytes
        self._chunks = chunks
        self._name = name
        self._pending = b""
        self.arrived_bytes = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, or a part of it; 0 at the end.

        Raises:
            BundleError: If more arrives than the limit.
        """
        if not self._pending:
            self._pending = next((chunk for chunk in self._chunks if chunk), b"")
            self.arrived_bytes += len(self._pending)
        if self.arrived_bytes > self.limit_bytes:
            raise BundleError(f"{self._name} is larger than the {self.limit_bytes:,} bytes that were expected")
        taken = self._pending[: len(buffer)]
        buffer[: len(taken)] = taken
        self._pending = self._pending[len(taken) :]
        return len(taken)


def tar_limit_bytes(manifest: Manifest) -> int:
    """How large the archive of a bundle may be: its files, and generously what packing adds."""
    paths = {str(parent) for path in manifest.files for parent in PurePosixPath(path).parents} | set(manifest.files)
    return manifest.size_bytes + MAX_MANIFEST_BYTES + _MEMBER_BYTES * len(paths)


def read_members(stream: io.RawIOBase, *, prefix: str = "") -> Iterator[tuple[str, IO[bytes]]]:
    """The files of an uncompressed archive in its order; each must be read before the next.

    Args:
        stream: The archive; only read forwards.
        prefix: Folder in the archive that the paths are relative to.

    Raises:
        ValueError: If a member is neither a file nor a folder, or lies outside of `prefix`.
    """
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.type in _FILE_TYPES else None
            if content is not None:
                yield PurePosixPath(member.name).relative_to(prefix).as_posix(), content
            elif not member.isdir():
                raise ValueError(f"{member.name} is neither a file nor a folder")


def read_chunks(path: Path) -> Iterator[bytes]:
    """The content of a file."""
    with path.open("rb") as file:
        yield from content_chunks(file)


def content_chunks(content: IO[bytes]) -> Iterator[bytes]:
    """What is left of an open file."""
    return iter(lambda: content.read(CHUNK_BYTES), b"")
