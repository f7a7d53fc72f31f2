"""A web server whose answers a test writes down, and which remembers what it was sent."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class ScriptedServer:
    """A running server.

    Attributes:
        address: Host and port.
        url: Its address with the scheme.
        answer: Method and path -> the answer.
        requests: Method, path and `Authorization` of each request.
    """

    address: str
    url: str
    answer: Callable[[str, str], Answer]
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)

    @property
    def authorizations(self) -> set[str | None]:
        """Every value of `Authorization` that arrived."""
        return {header for _, _, header in self.requests}


class _Handler(BaseHTTPRequestHandler):
    state: ScriptedServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the receipt of its headers

    def handle_request(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.state.requests.append((self.command, self.path, self.headers.get("Authorization")))
        status, headers, body = self.state.answer(self.command, self.path)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # the client has seen enough

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def run_scripted(
    answer: Callable[[str, str], Answer], host: str = "127.0.0.1", certificate: tuple[Path, Path] | None = None
) -> Iterator[ScriptedServer]:
    """Run a server while the block runs; over TLS if it has a certificate and its key."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer((host, 0), handler) as server:
        address = f"{host}:{server.server_port}"
        handler.state = ScriptedServer(address, f"http{'s' if certificate else ''}://{address}", answer)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield handler.state
        server.shutdown()
