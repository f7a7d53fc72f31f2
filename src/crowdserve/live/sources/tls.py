"""TLS of FFmpeg's own streams, which trusts anybody unless it is told whom to trust."""

import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from crowdserve.certificates import named_ca_file, tls_context, write_authorities
from crowdserve.failures import in_words

PORTS = {"rtsps": 322, "rtmps": 443}
"""Protocols inside of TLS, and their usual ports."""

_SECONDS = 5.0


@contextmanager
def tls_options(scheme: str) -> Iterator[dict[str, str]]:
    """FFmpeg's options for who is trusted, while a stream is opened; none for a protocol without TLS.

    Raises:
        SetupError: If the file of authorities has no certificates.
    """
    if scheme not in PORTS:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "authorities.pem"
        write_authorities(file, named_ca_file())
        yield {"tls_verify": "1", "ca_file": str(file)}


def tls_problem(address: str) -> str:
    """What is wrong with a server's TLS, of which FFmpeg says nothing; empty if nothing is, or it has no TLS."""
    parts = urlsplit(address)
    if parts.scheme not in PORTS or not parts.hostname:
        return ""
    try:
        with socket.create_connection((parts.hostname, parts.port or PORTS[parts.scheme]), _SECONDS) as connection:
            tls_context(named_ca_file()).wrap_socket(connection, server_hostname=parts.hostname).close()
    except ssl.SSLError as err:
        err.__context__ = None
        return in_words(err, "the camera")
    except OSError:
        return ""
    return ""
