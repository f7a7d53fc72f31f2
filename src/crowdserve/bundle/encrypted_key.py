"""Private keys as cosign encrypts them: JSON in PEM, the key derived with scrypt, the box that of NaCl.

-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----     base64 of
{"kdf": {"name": "scrypt", "params": {"N": 65536, "r": 8, "p": 1}, "salt": …},
"cipher": {"name": "nacl/secretbox", "nonce": …}, "ciphertext": …}     bytes in base64
"""

import base64
import hashlib
import json
import re
from typing import Any

_PEM = re.compile(rb"-----BEGIN (ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY)-----\s+([A-Za-z0-9+/=\s]+)-----END \1-----")
_MAX_MEMORY_BYTES = 256 << 20
"""cosign's parameters take 64 MiB; a file may ask for more, but not for all of the machine."""


def find_encrypted(content: bytes) -> bytes | None:
    """The JSON of an encrypted key out of its PEM file; None if that is another one."""
    found = _PEM.search(content)
    return base64.b64decode(found[2]) if found else None


def decrypt_key(content: bytes, password: bytes) -> bytes:
    """The private key in PKCS #8.

    Raises:
        ValueError: If the password is another one, or the content is no such key.
        LookupError: If the content lacks something.
        TypeError: If something is of another type.
    """
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    box: dict[str, Any] = json.loads(content)
    names = (box["kdf"]["name"], box["cipher"]["name"])
    if names != ("scrypt", "nacl/secretbox"):
        raise ValueError(f"it is encrypted with {names}, expected scrypt and nacl/secretbox")
    rounds, block, lanes = (int(box["kdf"]["params"][name]) for name in ("N", "r", "p"))
    if not 1 <= block * lanes <= 64 or not 2 <= rounds <= _MAX_MEMORY_BYTES // (128 * block):
        raise ValueError("its scrypt parameters ask for more than 256 MiB")
    salt, nonce, text = (
        base64.b64decode(part) for part in (box["kdf"]["salt"], box["cipher"]["nonce"], box["ciphertext"])
    )
    key = hashlib.scrypt(password, salt=salt, n=rounds, r=block, p=lanes, maxmem=2 * _MAX_MEMORY_BYTES, dklen=32)
    try:
        return SecretBox(key).decrypt(text, nonce)
    except CryptoError as err:
        raise ValueError("another password") from err
