"""What a client that begins with HTTP/2 is told, in frames that it reads: this port speaks HTTP/1.1."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n"
"""First bytes of such a client, which no request of HTTP/1.1 begins with."""

_SETTINGS, _GO_AWAY = 4, 7
_HTTP_1_1_REQUIRED = 0xD
_TEXT = b"this port speaks HTTP/1.1; gRPC has a port of its own, and a gateway speaks HTTP/2"


def go_away() -> bytes:
    """The settings that a server begins with, and the end of the connection with its reason (RFC 9113, 6.8 and 7)."""
    return _frame(_SETTINGS) + _frame(_GO_AWAY, struct.pack(">II", 0, _HTTP_1_1_REQUIRED) + _TEXT)


def _frame(kind: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, 0, 0) + payload
