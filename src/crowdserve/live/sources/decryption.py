"""HLS segments that are encrypted as a whole: AES-128 in CBC mode, padded by PKCS #7 (RFC 8216, section 4.3.2.4)."""

from typing import Protocol

from crowdserve.live.errors import SourceLost

_BLOCK = 16


class Readable(Protocol):
    """What FFmpeg reads from."""

    def read(self, most: int) -> bytes:
        """At most so many bytes; none at the end."""

    def close(self) -> None:
        """Let it go."""


class Decrypted:
    """An encrypted file, in clear.

    Args:
        file: It.
        key: Key, in hexadecimal digits.
        vector: Initialization vector, likewise.

    Raises:
        SourceLost: If the package for that is not installed.
    """

    def __init__(self, file: Readable, key: str, vector: str) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
            from cryptography.hazmat.primitives.padding import PKCS7
        except ImportError as err:
            raise SourceLost("the camera's video is encrypted; to read it, install cryptography") from err
        self._file = file
        self._cipher = Cipher(algorithms.AES(bytes.fromhex(key)), modes.CBC(bytes.fromhex(vector))).decryptor()
        self._padding = PKCS7(8 * _BLOCK).unpadder()
        self._left, self._is_over = b"", False

    def read(self, most: int) -> bytes:
        """At most so many bytes; none at the end."""
        while not self._left and not self._is_over:
            piece = self._file.read(most)
            self._left = self._padding.update(self._cipher.update(piece)) if piece else self._last()
        found, self._left = self._left[:most], self._left[most:]
        return found

    def close(self) -> None:
        """Let it go."""
        self._file.close()

    def _last(self) -> bytes:
        self._is_over = True
        try:
            return self._padding.update(self._cipher.finalize()) + self._padding.finalize()
        except ValueError:  # it was cut off, or is of another key
            return b""
