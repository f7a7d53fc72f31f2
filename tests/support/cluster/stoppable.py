"""A real HTTP server that can be stopped, with all its connections, and started again on the same port."""

import socket
import ssl
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    connections: set[socket.socket]

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.connections = set()
        super().__init__(("127.0.0.1", port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: connections that `stop` breaks end in an OSError of the handler."""


class StoppableServer:
    """The server; a context manager.

    Args:
        handler: The class that answers requests; `name` is set on it to this object.
        name: Name of the attribute by which the handler finds this object.

    Attributes:
        url: The server's URL, which stays the same.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler], name: str) -> None:
        self._handler = type("Bound", (handler,), {name: self})
        self._http: _Server | None = _Server(0, self._handler)
        self._port = self._http.server_port
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None = None, err: BaseException | None = None, tb: TracebackType | None = None
    ) -> None:
        self.stop()

    @property
    def serves(self) -> bool:
        """Whether it is started."""
        return self._http is not None

    def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Serve, after `stop` on the same port; with TLS if there is a context for it."""
        server = self._http = self._http or _Server(self._port, self._handler)
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and break those there are."""
        if self._http is None:
            return
        self._http.shutdown()
        self._http.server_close()
        for connection in list(self._http.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._http = None
