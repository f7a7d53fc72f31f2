"""A key pair that nobody signs with, and how keys are encrypted."""

import base64
import hashlib
import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from nacl.secret import SecretBox

PASSWORD = "a test"
COSIGN_KEY = """\
-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJvSXIySEtWdmJ4WWhuSFRLYVNBeExQdlpLaUpCMVk2
WC9OaVQ1dDFieG5jPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJjdXJGTllUeWJZajlEcXlWbjV4bkF5WlJkeFREVmZDZiJ9LCJj
aXBoZXJ0ZXh0IjoiMWNCMDYvOEM3eGFldUF6REZXZm1HRmtLK0NwMWNhanFkbG5Z
NnIrTkdyZXJ1b2FycHIvclhUM0R1V1piMnNJNm9kYU5jZUZOTDhmMVVYaTErbU1R
MTl6djNvK05ZRzYxd2JjR2VoSnRNalg1VUI2bVFxUzhydEdKcGdCVnVuVTFJOFYw
cGxjbnE0Wm93UythS3RVM25TSGc0NUxraUluWG5NWWtnSHRBRGNNR1dXT2k5b0VQ
OXJWbExWdlM0OVBPQ0lxZW5EclpDTTg0V0E9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
"""
"""Encrypted with that password by go-securesystemslib 0.9.0, the library that cosign encrypts its keys with."""

COSIGN_PUB = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEuhIByBUAjVoMifBHempYD/NcEEnv
2Nqd2FGrk8EuqfNkVGrl8aYM0lIa/B9sY1fBL/dOKPW0TZrMUpaRZnivzA==
-----END PUBLIC KEY-----
"""
DEFAULT_PARAMETERS = {"N": 1024, "r": 8, "p": 1}


def write_keys(folder: Path) -> tuple[Path, Path]:
    """The files of that pair: private, public."""
    (folder / "cosign.key").write_text(COSIGN_KEY)
    (folder / "cosign.pub").write_text(COSIGN_PUB)
    return folder / "cosign.key", folder / "cosign.pub"


def new_key() -> EllipticCurvePrivateKey:
    """Another private key."""
    return generate_private_key(SECP256R1())


def private_der(key: EllipticCurvePrivateKey) -> bytes:
    """A private key in PKCS #8."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def private_pem(key: EllipticCurvePrivateKey) -> bytes:
    """The same without encryption, as text."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: EllipticCurvePrivateKey) -> bytes:
    """The public key of a private one."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def encrypted_pem(content: bytes, password: str, kind: str = "SIGSTORE", **changes: object) -> bytes:
    """A key encrypted as cosign does it, quickly; `changes` replace parts of its JSON."""
    salt = os.urandom(32)
    box_key = hashlib.scrypt(password.encode(), salt=salt, n=1024, r=8, p=1, dklen=32)
    sealed = SecretBox(box_key).encrypt(content)
    box = {
        "kdf": {"name": "scrypt", "params": DEFAULT_PARAMETERS, "salt": base64.b64encode(salt).decode()},
        "cipher": {"name": "nacl/secretbox", "nonce": base64.b64encode(sealed.nonce).decode()},
        "ciphertext": base64.b64encode(sealed.ciphertext).decode(),
    }
    text = base64.encodebytes(json.dumps(box | changes).encode()).decode()
    return f"-----BEGIN ENCRYPTED {kind} PRIVATE KEY-----\n{text}-----END ENCRYPTED {kind} PRIVATE KEY-----\n".encode()
