"""Where a bundle is pulled from: the inverse of `crowdserve bundle build` and `push`.

    folder               ─┐
    s3://BUCKET/PREFIX   ─┴─► FileSource      every file under its path
    bundle.tar           ─┐
    https://…/bundle.tar ─┴─► TarSource       one archive, read from its beginning to its end
    oci://…              ───► ImageSource     one archive per model, the manifest in the last

Each source gives its manifest first, and then no more than the manifest allows.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol

from crowdserve.bundle.archive import (
    SUFFIX,
    LimitedStream,
    listed_files,
    read_chunks,
    read_members,
    tar_limit_bytes,
)
from crowdserve.bundle.folder import LOST_AND_FOUND
from crowdserve.bundle.manifest import MAX_MANIFEST_BYTES, Manifest, no_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from crowdserve.bundle.reference import without_secrets
from crowdserve.bundle.tar_reader import CHUNK_BYTES
from crowdserve.errors import BundleError

_UNLIMITED_BYTES = 1 << 62
_MAX_FILES = 20_000


class Source(Protocol):
    """A bundle somewhere else."""

    address: str
    """As it may be shown: without a password or a signature."""

    def read_manifest(self) -> bytes:
        """The content of its `manifest.json`."""

    def read_files(self, manifest: Manifest) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Path and content of each file but the manifest, its signature too; each must be read before the next."""


class FileStore(Protocol):
    """A place that keeps files under paths."""

    address: str

    def names(self) -> Iterable[str]:
        """The paths of all files there."""

    def read(self, path: str) -> Iterator[bytes]:
        """The content of a file, in chunks."""


@contextmanager
def open_source(address: str, *, plain_http: bool = False, ca_file: Path | None = None) -> Iterator[Source]:
    """The bundle at an address.

    Args:
        address: A folder, a `.tar` file, or an address that begins with https://, http://, s3:// or oci://.
        plain_http: Whether a web server or a registry elsewhere may be spoken to without TLS.
        ca_file: Certificates of authorities to trust besides the usual ones.

    Raises:
        BundleError: If there is nothing to pull from.
    """
    scheme = address.partition("://")[0] if "://" in address else ""
    if plain_http and scheme not in {"http", "oci"}:
        raise BundleError(f"--plain-http is for http:// and oci:// addresses, not for {without_secrets(address)}")
    if scheme == "oci":
        from crowdserve.bundle.image_source import opened_image

        with opened_image(address, plain_http=plain_http, ca_file=ca_file) as image:
            yield image
    elif scheme in {"http", "https"}:
        from crowdserve.bundle.web import download

        with download(address, plain_http=plain_http, ca_file=ca_file) as (shown, chunks):
            yield TarSource(shown, lambda: chunks, is_download=True)
    elif scheme == "s3":
        from crowdserve.bundle.bucket import BucketStore

        with BucketStore(address, ca_file=ca_file) as bucket:
            yield FileSource(bucket)
    else:
        yield _on_disk(address, scheme)


def _on_disk(address: str, scheme: str) -> Source:
    path = Path(address)
    if path.is_dir():
        return FileSource(FolderFiles(path))
    if path.is_file():
        return TarSource(address, lambda: read_chunks(path))
    reason = "cannot be pulled from" if scheme else "is neither a folder nor a file"
    raise BundleError(
        f"{address} {reason}; expected https://…/bundle{SUFFIX}, s3://BUCKET/PREFIX, oci://REGISTRY/REPOSITORY:TAG, "
        f"or a folder or {SUFFIX} file on this machine"
    )


def read_whole_manifest(chunks: Iterator[bytes], address: str) -> bytes:
    """A manifest out of the chunks that it arrives in.

    Raises:
        BundleError: If it is far larger than one.
    """
    return LimitedStream(chunks, MAX_MANIFEST_BYTES, f"{MANIFEST_FILE} of {address}").readall()


class FolderFiles:
    """A folder on this machine."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder)
        self._folder = folder

    def names(self) -> Iterator[str]:
        """The paths of all files but hidden ones.

        Raises:
            BundleError: If there is a link, a device or the like.
        """
        for path in sorted(self._folder.rglob("*")):
            parts = path.relative_to(self._folder).parts
            if any(part.startswith(".") or part == LOST_AND_FOUND for part in parts):
                continue
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise BundleError(f"{path} is neither a file nor a folder; a bundle holds nothing else: build it again")
            if path.is_file():
                yield "/".join(parts)

    def read(self, path: str) -> Iterator[bytes]:
        """The content of a file."""
        return read_chunks(self._folder / path)


class FileSource:
    """A bundle whose files can be read one by one."""

    def __init__(self, store: FileStore) -> None:
        self.address = store.address
        self._store = store
        self._names = frozenset[str]()

    def read_manifest(self) -> bytes:
        """The content of its `manifest.json`."""
        self._names = frozenset(islice(self._store.names(), _MAX_FILES + 1))
        if len(self._names) > _MAX_FILES:
            raise BundleError(f"{self.address} has more than {_MAX_FILES:,} files, no bundle has; check the address")
        if MANIFEST_FILE not in self._names:
            raise no_manifest(self.address)
        return read_whole_manifest(self._store.read(MANIFEST_FILE), self.address)

    def read_files(self, manifest: Manifest) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Path and content of each file, those first that should not be there."""
        there = self._names - {MANIFEST_FILE}
        for path in (*sorted(there - set(manifest.files)), *sorted(there & set(manifest.files))):
            yield path, self._store.read(path)


class TarSource:
    """A bundle in one `.tar`, on this machine or arriving.

    Args:
        address: As it may be shown.
        read: Gives its bytes from the beginning.
        is_download: Whether the bytes come only once; then the manifest must be the first file.
    """

    def __init__(self, address: str, read: Callable[[], Iterator[bytes]], *, is_download: bool = False) -> None:
        self.address = address
        self._read = read
        self._is_download = is_download
        self._begin()

    def read_manifest(self) -> bytes:
        """The content of its `manifest.json`."""
        for member in self._members:
            if member.path == MANIFEST_FILE and not member.is_folder:
                return read_whole_manifest(member.chunks, self.address)
            if self._is_download:
                raise BundleError(
                    f"{self.address} begins with {member.path!r}, expected {MANIFEST_FILE}, which tells how much may "
                    "follow; pack it with crowdserve bundle build, or download the file and pull that"
                )
        raise no_manifest(self.address)

    def read_files(self, manifest: Manifest) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Path and content of each file but the manifest, in the archive's order, and then its end."""
        if not self._is_download:
            self._begin()
        self._stream.limit_bytes = tar_limit_bytes(manifest)
        manifests = 1 if self._is_download else 0
        for path, chunks in listed_files(self._members, manifest):
            manifests += path == MANIFEST_FILE
            if path != MANIFEST_FILE or manifests > 1:
                yield path, chunks
        while self._stream.read(CHUNK_BYTES):
            pass

    def _begin(self) -> None:
        limit_bytes = 2 * MAX_MANIFEST_BYTES if self._is_download else _UNLIMITED_BYTES
        self._stream = LimitedStream(self._read(), limit_bytes, self.address)
        self._members = read_members(self._stream)
