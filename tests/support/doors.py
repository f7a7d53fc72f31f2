"""A door in front of a server: a TCP relay that a test closes and opens again, to the same server or another."""

import selectors
import socket
import socketserver
import threading
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit


class Door:
    """Context manager around the relay.

    Attributes:
        url: Its address; the server's is behind it.
    """

    def __init__(self, behind: str) -> None:
        self._port = 0
        self._server: _Relay | None = None
        self.open(behind)
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> "Door":
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None) -> None:
        if self._server is not None:
            self.close()

    def open(self, behind: str | None = None) -> None:
        """Let callers through; to another server than before if its URL is given."""
        if behind is not None:
            parts = urlsplit(behind)
            self._behind = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._server = _Relay(("127.0.0.1", self._port), self._behind)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Refuse callers, and end their connections."""
        server, self._server = self._server, None
        assert server is not None
        server.shutdown()
        server.server_close()
        server.end_connections()


class _Relay(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self, address: tuple[str, int], behind: tuple[str, int]) -> None:
        super().__init__(address, _Connection)
        self.behind = behind
        self.sockets: set[socket.socket] = set()

    def end_connections(self) -> None:
        for each in list(self.sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Connection(socketserver.BaseRequestHandler):
    server: _Relay

    def handle(self) -> None:
        with socket.create_connection(self.server.behind) as server, selectors.DefaultSelector() as selector:
            ends = {self.request: server, server: self.request}
            self.server.sockets |= set(ends)
            for each in ends:
                selector.register(each, selectors.EVENT_READ)
            with suppress(OSError):
                while self._passed_on(ends, selector):
                    pass
            self.server.sockets -= set(ends)

    def _passed_on(self, ends: dict[socket.socket, socket.socket], selector: selectors.BaseSelector) -> bool:
        for key, _ in selector.select():
            data = key.fileobj.recv(65536)  # type: ignore[union-attr]
            if not data:
                return False
            ends[key.fileobj].sendall(data)  # type: ignore[index]
        return True
