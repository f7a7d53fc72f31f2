"""The little of HTTP/2 that a hostile gRPC client needs: it opens streams and never ends them."""

import struct

from tests.support.attacks import connect

_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 4, 6, 8
_END_HEADERS, _ACK = 4, 1
_FIRST_WINDOW = 65_535


class HostileGrpcClient:
    """One connection with unfinished calls.

    Args:
        address: HOST:PORT.
        method: Path of the method.
    """

    def __init__(self, address: str, method: str) -> None:
        self._connection = connect(address)
        self._method = method
        self._windows = {0: _FIRST_WINDOW}
        self._connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b""))
        self._unread = b""

    def open_stream(self, stream: int, message_bytes: int, encoding: str | None = None) -> None:
        """Begin a call with a message of that length, compressed or not; `stream` is odd and grows."""
        self._windows[stream] = _FIRST_WINDOW
        headers = {":method": "POST", ":scheme": "http", ":path": self._method, ":authority": "x"}
        headers |= {"content-type": "application/grpc", "te": "trailers"}
        headers |= {"grpc-encoding": encoding} if encoding else {}
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())
        self._connection.sendall(_frame(_HEADERS, _END_HEADERS, stream, block))
        self.send(stream, struct.pack(">BI", encoding is not None, message_bytes))

    def send_whole(self, stream: int, message: bytes, encoding: str | None = None) -> None:
        """Begin a call with a message of less than 64 KiB, which needs no window of the server's."""
        self.open_stream(stream, len(message), encoding)
        for start in range(0, len(message), 16_384):
            self.send(stream, message[start : start + 16_384])

    def send(self, stream: int, data: bytes) -> None:
        """Send a piece of a message, whatever the windows say."""
        self._windows[stream] -= len(data)
        self._windows[0] -= len(data)
        self._connection.sendall(_frame(_DATA, 0, stream, data))

    def send_all_it_may(self, stream: int, most_bytes: int, seconds: float) -> int:
        """Send a message's bytes as the windows allow; returns how many."""
        sent = 0
        while sent < most_bytes:
            size = min(16_384, self._windows[stream], self._windows[0], most_bytes - sent)
            if size > 0:
                self.send(stream, b"x" * size)
                sent += size
            elif not self._listen(seconds):
                break
        return sent

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _listen(self, seconds: float) -> bool:
        self._connection.settimeout(seconds)
        try:
            received = self._connection.recv(1 << 16)
        except (TimeoutError, ConnectionError):
            return False
        finally:
            self._connection.settimeout(None)
        self._unread += received
        while len(self._unread) >= 9:
            length = int.from_bytes(self._unread[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", self._unread[3:9])
            if len(self._unread) < 9 + length:
                break
            payload, self._unread = self._unread[9 : 9 + length], self._unread[9 + length :]
            self._heed(kind, flags, stream, payload)
        return bool(received)

    def _heed(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW_UPDATE and stream in self._windows:
            self._windows[stream] += int.from_bytes(payload, "big")
        elif kind == _SETTINGS and not flags & _ACK:
            for start in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[start : start + 6])
                if name == 4:  # the first window of each stream
                    for opened in self._windows.keys() - {0}:
                        self._windows[opened] += value - _FIRST_WINDOW
            self._connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._connection.sendall(_frame(_PING, _ACK, 0, payload))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
