"""Files of a bundle that is somewhere else → a folder: those of its manifest, up to their sizes, no more."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crowdserve.bundle.archive import read_chunks
from crowdserve.bundle.manifest import Manifest, parse_manifest, read_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE, MAX_SIGNATURE_BYTES, SIGNATURE_FILE
from crowdserve.bundle.placement import Progress
from crowdserve.bundle.sources import Source, TarSource
from crowdserve.errors import BundleError
from crowdserve.scratch import Scratch


@contextmanager
def opened_bundle(path: Path) -> Iterator[tuple[Path, Manifest]]:
    """Yield a bundle's folder and its manifest; a `.tar` is unpacked while the block runs.

    Nothing is verified in a folder. Of a `.tar` the files that its manifest lists are unpacked, up to their sizes; the
    first file that it does not list ends it.

    Raises:
        BundleError: If `path` is not a bundle.
    """
    if path.is_dir():
        yield path, read_manifest(path)
    elif path.is_file():
        with Scratch("bundle") as scratch:
            with explained(str(path)):
                manifest = _unpack(path, scratch.folder)
            yield scratch.folder, manifest
    else:
        raise BundleError(f"{path} is neither a folder nor a file; make a bundle with crowdserve bundle build")


def _unpack(path: Path, folder: Path) -> Manifest:
    source = TarSource(str(path), lambda: read_chunks(path))
    content = source.read_manifest()
    manifest = parse_manifest(content, path / MANIFEST_FILE)
    (folder / MANIFEST_FILE).write_bytes(content)
    fetch_files(source, manifest, folder)
    return manifest


def fetch_files(source: Source, manifest: Manifest, folder: Path, progress: Progress = lambda _: None) -> None:
    """Write the files of a manifest and its signature, if it has one, and none but them.

    Args:
        source: Where they are.
        manifest: Its manifest.
        folder: An empty folder.
        progress: Called with the number of bytes that arrived.

    Raises:
        BundleError: If there is another file, one comes twice, or is larger than the manifest says.
    """
    left = {path: entry.size_bytes for path, entry in manifest.files.items()}
    left[SIGNATURE_FILE] = MAX_SIGNATURE_BYTES
    for path, chunks in source.read_files(manifest):
        size_bytes = left.pop(path, None)
        if size_bytes is None:
            problem = "twice" if path in (*manifest.files, SIGNATURE_FILE) else "which its manifest.json does not name"
            raise BundleError(f"{source.address} has {path!r}, {problem}; build and push it again")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("xb") as file:
            for chunk in _at_most(size_bytes, chunks, f"{path} of {source.address}"):
                file.write(chunk)
                progress(len(chunk))


def _at_most(size_bytes: int, chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    arrived_bytes = 0
    for chunk in chunks:
        arrived_bytes += len(chunk)
        if arrived_bytes > size_bytes:
            raise BundleError(f"{name} is larger than the {size_bytes:,} bytes of its manifest.json; push it again")
        yield chunk


@contextmanager
def explained(place: str) -> Iterator[None]:
    """What goes wrong with an archive or a disk, as one of our errors."""
    try:
        yield
    except (EOFError, ValueError, RecursionError) as err:
        raise BundleError(
            f"{place} cannot be unpacked ({err}); expected a whole bundle: push or pull it again"
        ) from err
    except OSError as err:
        reason = f"{err.filename or place}: {err.strerror or err}"
        raise BundleError(
            f"{place} was not read or written, {reason}; check the file, its rights and the disk"
        ) from err
