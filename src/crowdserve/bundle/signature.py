"""Signatures of bundles with cosign's key pairs, without a network.

A signature is over the bytes of `manifest.json`, whose SHA-256 sums cover every other file. `manifest.json.sig` holds
the base64 of an ECDSA signature in DER (P-256, SHA-256), as `cosign sign-blob --key` prints it and as
`cosign verify-blob --key --signature` and, after `base64 -d`, `openssl dgst -sha256 -verify` read it.
"""

import base64
import binascii
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from crowdserve.bundle.neighbours import MANIFEST_FILE, MAX_SIGNATURE_BYTES, SIGNATURE_FILE
from crowdserve.errors import BundleError, PlatformError

if TYPE_CHECKING:  # a bundle without signatures needs none of it
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

_MAX_KEY_BYTES = 64 << 10


def sign_manifest(content: bytes, key: "EllipticCurvePrivateKey") -> bytes:
    """The content of `manifest.json.sig` for that of `manifest.json`; the same bytes each time where OpenSSL can."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        signature = key.sign(content, ECDSA(SHA256(), deterministic_signing=True))
    except UnsupportedAlgorithm:
        signature = key.sign(content, ECDSA(SHA256()))
    return base64.b64encode(signature)


def write_signature(folder: Path, signature: bytes) -> None:
    """Put a signature beside the manifest of a bundle's folder, whole or not at all."""
    partial = folder / f".{SIGNATURE_FILE}.partial"
    partial.write_bytes(signature)
    partial.chmod(0o644)
    os.replace(partial, folder / SIGNATURE_FILE)


def check_signature(folder: Path, key: Path, *, shown_as: Path | str | None = None) -> None:
    """Check that a bundle's manifest was signed with a key.

    Args:
        folder: Folder of the bundle.
        key: PEM file of the public key.
        shown_as: Name of the folder in errors, if it is a temporary one.

    Raises:
        BundleError: If there is no signature, it is by another key or over another manifest, or the key is none.
        PlatformError: If the package for signatures is not installed.
    """
    public = read_public_key(key)
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    shown = shown_as or folder
    try:
        signature = _read(folder / SIGNATURE_FILE, MAX_SIGNATURE_BYTES)
        content = (folder / MANIFEST_FILE).read_bytes()
    except FileNotFoundError:
        raise BundleError(
            f"{shown} has no {SIGNATURE_FILE}, and a signature by {key} is demanded; sign it and push it again: "
            "crowdserve bundle sign"
        ) from None
    except (OSError, ValueError) as err:
        raise BundleError(f"{SIGNATURE_FILE} of {shown} cannot be read ({err}); sign the bundle again") from err
    try:
        public.verify(base64.b64decode(signature.strip(), validate=True), content, ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error) as err:
        raise BundleError(
            f"{SIGNATURE_FILE} of {shown} is no signature of its {MANIFEST_FILE} by the key in {key}: the bundle was "
            "changed after it was signed, or signed with another key"
        ) from err


def read_public_key(path: Path) -> "EllipticCurvePublicKey":
    """A public key, such as `cosign.pub`.

    Raises:
        BundleError: If the file holds none.
        PlatformError: If the package for signatures is not installed.
    """
    _check_installed("cryptography")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read(path, _MAX_KEY_BYTES))
    except (OSError, ValueError, UnsupportedAlgorithm) as err:
        raise _no_key(path, "public", err) from err
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise _no_key(path, "public", type(key).__name__)
    return key


def read_private_key(path: Path, ask_password: Callable[[], str]) -> "EllipticCurvePrivateKey":
    """A private key: cosign's, which is encrypted, or one in PEM without encryption.

    Args:
        path: The file, such as `cosign.key`.
        ask_password: Called if the key is encrypted.

    Raises:
        BundleError: If the file holds none, or the password is another one.
        PlatformError: If the packages for signatures are not installed.
    """
    _check_installed("cryptography")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

    from crowdserve.bundle.encrypted_key import decrypt_key, find_encrypted

    try:
        content = _read(path, _MAX_KEY_BYTES)
        encrypted = find_encrypted(content)
        if encrypted is None:
            key = load_pem_private_key(content, None)
        else:
            _check_installed("nacl", "PyNaCl")
            key = load_der_private_key(decrypt_key(encrypted, ask_password().encode()), None)
    except (OSError, ValueError, TypeError, LookupError, UnsupportedAlgorithm) as err:
        raise _no_key(path, "private", err) from err
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise _no_key(path, "private", type(key).__name__)
    return key


def _no_key(path: Path, kind: str, reason: object) -> BundleError:
    return BundleError(
        f"{path} gives no {kind} key ({reason}); expected one of ECDSA on P-256 in PEM, as cosign generate-key-pair "
        "writes"
    )


def _read(path: Path, limit_bytes: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise ValueError(f"it is larger than {limit_bytes:,} bytes")
    return content


def _check_installed(module: str, package: str = "") -> None:
    if importlib.util.find_spec(module) is None:
        raise PlatformError(f"signatures need {package or module}; run: pip install 'crowdserve[bundle]'")
