"""Bundle somewhere else → the pulled bundles of this user.

address ──► manifest ──► is it here? ──yes──► current
                             │no
                             └──► its files, no larger than it says ──► their SHA-256 ──► in place ──► current

Where a signature is demanded, what is here without one by that key counts as not here.
"""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from crowdserve.bundle.cache import CachedBundle, ModelCache
from crowdserve.bundle.manifest import Manifest, parse_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE, SIGNATURE_FILE
from crowdserve.bundle.placement import Progress
from crowdserve.bundle.reference import without_secrets
from crowdserve.bundle.signature import check_signature, read_public_key, write_signature
from crowdserve.bundle.sources import Source, open_source
from crowdserve.bundle.unpacking import explained, fetch_files
from crowdserve.cards import CARDS
from crowdserve.errors import BundleError

Watch = Callable[[Manifest], AbstractContextManager[Progress]]
"""Called before the files are fetched; gives what is told how many bytes have arrived."""


def _unwatched(_: Manifest) -> AbstractContextManager[Progress]:
    return nullcontext(lambda _: None)


def pull_bundle(
    address: str,
    cache: ModelCache,
    *,
    digest: str | None = None,
    key: Path | None = None,
    plain_http: bool = False,
    ca_file: Path | None = None,
    watch: Watch = _unwatched,
) -> CachedBundle:
    """Bring a bundle to this machine, unless it is here, and make it the current one.

    Args:
        address: As `open_source` takes it.
        cache: Where it goes.
        digest: The ``sha256:…`` that it must have; if that is here, nothing is asked.
        key: PEM file of the public key that it must be signed with.
        plain_http: Whether a server elsewhere may be spoken to without TLS.
        ca_file: Certificates of authorities to trust besides the usual ones.
        watch: Called if files are fetched.

    Raises:
        BundleError: If the bundle is not what its manifest says, cannot be served here, is not the one with `digest`,
            is not signed with `key`, or did not arrive. Nothing is left behind then.
        PlatformError: If the package for signatures is not installed.
    """
    if key is not None:
        read_public_key(key)  # before anything is fetched
    bundle = cache.get(digest) if digest else None
    if bundle is None or not _is_signed(bundle, key):
        opened = open_source(address, plain_http=plain_http, ca_file=ca_file)
        with explained(without_secrets(address)), opened as source:
            bundle = _pull(source, cache, digest, key, watch)
    with explained(str(cache.folder)):
        cache.use(bundle)
    return bundle


def _is_signed(bundle: CachedBundle, key: Path | None) -> bool:
    """Whether a bundle that is here has the signature that is demanded, if one is."""
    if key is None:
        return True
    try:
        check_signature(bundle.folder, key)
    except BundleError:
        return False
    return True


def _pull(source: Source, cache: ModelCache, digest: str | None, key: Path | None, watch: Watch) -> CachedBundle:
    manifest = parse_manifest(source.read_manifest(), f"manifest.json of {source.address}")
    if digest not in (None, manifest.digest):
        raise BundleError(f"{source.address} has the digest {manifest.digest}, expected {digest}; check the address")
    there = cache.get(manifest.digest)
    if there is not None and _is_signed(there, key):
        return there
    check_usable(manifest, source.address)
    with cache.new_folder() as folder:
        _check_room(folder, manifest)
        with watch(manifest) as progress:
            fetch_files(source, manifest, folder, progress)
        manifest.check(folder, shown_as=source.address)
        (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
        if key is not None:
            check_signature(folder, key, shown_as=source.address)
        if there is not None:  # pulled before it was signed
            write_signature(there.folder, (folder / SIGNATURE_FILE).read_bytes())
            return there
        return cache.place(folder, manifest, source.address)


def check_usable(manifest: Manifest, address: str) -> None:
    """Check that a bundle is one that this machine may serve.

    Raises:
        BundleError: If it is of the tensorrt profile, or lacks a model that this crowdserve serves.
    """
    if manifest.profile == "tensorrt":
        raise BundleError(
            f"{address} is of the tensorrt profile, for the GPU that builds its plans; pull one of the gpu, cpu or "
            "embedded profile, such as crowdserve bundle build --profile gpu makes"
        )
    missing = [name for name in CARDS if not manifest.models.get(name)]
    if missing:
        raise BundleError(
            f"{address} lacks {', '.join(missing)}: it was built by crowdserve {manifest.crowdserve}; pull one "
            "that was built by the crowdserve that runs here"
        )


def _check_room(folder: Path, manifest: Manifest) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < manifest.size_bytes:
        raise BundleError(
            f"{folder.parents[1]} has {free_bytes / 1e6:.1f} MB free, the bundle needs {manifest.size_bytes / 1e6:.1f} "
            "MB; make room, or name another folder with CROWDSERVE_MODELS"
        )
