"""Bundles as `.tar` files: the same folder gives the same bytes for every user, machine and time."""

import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

from crowdserve.bundle.folder import parents_of
from crowdserve.bundle.manifest import MAX_MANIFEST_BYTES, Manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE, MAX_SIGNATURE_BYTES, SIGNATURE_FILE
from crowdserve.bundle.tar_reader import CHUNK_BYTES, Member, ReadableStream, read_tar
from crowdserve.errors import BundleError

SUFFIX = ".tar"

_MEMBER_BYTES = 2 << 10  # header, extended header, padding
_FIRST = (MANIFEST_FILE, SIGNATURE_FILE)


def write_tar(stream: IO[bytes], folder: Path, paths: Iterable[str], *, prefix: str = "") -> None:
    """Pack files and the folders above them: sorted, owned by root, readable by everyone, dated 1970.

    The manifest comes first, so that a download is known by its first bytes, and then its signature.

    Args:
        stream: Stream that the archive is written to.
        folder: Folder of the files.
        paths: Paths relative to `folder`, with forward slashes.
        prefix: Prefix of every path in the archive.
    """
    files = {f"{prefix}{path}": folder / path for path in paths}
    parents = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(parents | set(files), key=lambda name: (name not in _FIRST, name)):
            member = tarfile.TarInfo(name)
            if name in parents:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
                continue
            member.mode, member.size = 0o644, files[name].stat().st_size
            with files[name].open("rb") as content:
                archive.addfile(member, content)


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
        self._pending = memoryview(b"")
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
            self._pending = memoryview(next((chunk for chunk in self._chunks if chunk), b""))
            self.arrived_bytes += len(self._pending)
        if self.arrived_bytes > self.limit_bytes:
            raise BundleError(f"{self._name} is larger than the {self.limit_bytes:,} bytes that were expected")
        taken = self._pending[: len(buffer)]
        buffer[: len(taken)] = taken
        self._pending = self._pending[len(taken) :]
        return len(taken)


def tar_limit_bytes(manifest: Manifest) -> int:
    """How large the archive of a bundle may be: its files, and generously what packing adds."""
    members = len(parents_of(set(manifest.files))) + len(manifest.files) + 4  # manifest, signature, root, end mark
    return manifest.size_bytes + MAX_MANIFEST_BYTES + MAX_SIGNATURE_BYTES + _MEMBER_BYTES * members


def read_members(stream: ReadableStream, *, prefix: str = "") -> Iterator[Member]:
    """The files and folders of an uncompressed archive in its order; each must be read before the next.

    Args:
        stream: The archive; only read forwards.
        prefix: Folder in the archive that the paths are relative to.

    Raises:
        ValueError: If it is no whole archive, a member is neither a file nor a folder, or lies outside of `prefix`.
    """
    for member in read_tar(stream):
        if member.is_folder and f"{member.path}/" == prefix:
            continue
        if not member.path.startswith(prefix):
            raise ValueError(f"{member.path!r} lies outside of {prefix}")
        yield replace(member, path=member.path.removeprefix(prefix))


def listed_files(members: Iterator[Member], manifest: Manifest) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Path and content of each file; a folder that holds none of the manifest's files is refused.

    Raises:
        ValueError: If there is such a folder.
    """
    folders = {".", *parents_of(set(manifest.files))}
    for member in members:
        if not member.is_folder:
            yield member.path, member.chunks
        elif member.path not in folders:
            raise ValueError(f"it has the folder {member.path!r}, which its {MANIFEST_FILE} does not name")


def read_chunks(path: Path) -> Iterator[bytes]:
    """The content of a file."""
    with path.open("rb") as file:
        yield from iter(lambda: file.read(CHUNK_BYTES), b"")
