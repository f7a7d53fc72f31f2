"""Signing of a bundle where it lies: a folder gets one file more, a `.tar` is packed again."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from crowdserve.bundle.archive import write_tar
from crowdserve.bundle.manifest import Manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE, SIGNATURE_FILE
from crowdserve.bundle.signature import sign_manifest, write_signature
from crowdserve.bundle.unpacking import opened_bundle
from crowdserve.errors import BundleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


def sign_bundle(path: Path, key: "EllipticCurvePrivateKey") -> Manifest:
    """Sign a bundle; an earlier signature is replaced.

    Args:
        path: A folder or a `.tar`.
        key: A private key.

    Returns:
        The manifest that was signed.

    Raises:
        BundleError: If the bundle is not what its manifest says, or cannot be written.
    """
    with opened_bundle(path) as (folder, manifest):
        manifest.check(folder, shown_as=path)
        signature = sign_manifest((folder / MANIFEST_FILE).read_bytes(), key)
        try:
            write_signature(folder, signature)
            if folder != path:
                _pack_again(path, folder, manifest)
        except OSError as err:
            reason = f"{err.filename or path}: {err.strerror or err}"
            raise BundleError(f"{path} was not signed, {reason}; check its rights and the disk's space") from err
    return manifest


def _pack_again(path: Path, folder: Path, manifest: Manifest) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        packed = Path(scratch) / "bundle.tar"
        with packed.open("wb") as stream:
            write_tar(stream, folder, [MANIFEST_FILE, SIGNATURE_FILE, *manifest.files])
        packed.chmod(path.stat().st_mode & 0o777)
        os.replace(packed, path)
