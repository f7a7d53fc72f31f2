"""A stand-in for an image registry, over HTTP."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import httpx

HOST = "127.0.0.1"


@dataclass
class RunningRegistry:
    """A running registry; the stand-in also records its requests.

    Attributes:
        user: The required ``user:password``; empty for none.
        challenge: The authentication scheme, basic or bearer.
        passing_failures: The number of next uploads that fail with 503.
        damages: Whether it returns damaged blobs.
    """

    address: str
    requests: list[str] = field(default_factory=list)
    user: str = ""
    challenge: str = "basic"
    passing_failures: int = 0
    damages: bool = False
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def get(self, path: str) -> httpx.Response:
        """Read something, as any client would."""
        types = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
        return httpx.get(f"http://{self.address}/v2/{path}", headers={"Accept": types}, trust_env=False)


class _RegistryHandler(BaseHTTPRequestHandler):
    """The part of the distribution API that a push uses, as strict as a real one about digests and order."""

    state: RunningRegistry
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the receipt of its headers

    def handle_request(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.state.requests.append(f"{self.command} {url.path}")
        if url.path == "/token":
            return self._token(parse_qs(url.query or body.decode()))
        if not self._allowed():
            return None
        _, _, rest = url.path.partition("/v2/")
        repository, kind, name = self._split(rest)
        if kind == "uploads":
            return self._upload(repository, parse_qs(url.query), body)
        return self._blob(name) if kind == "blobs" else self._manifest(repository, name, body)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def _split(self, path: str) -> tuple[str, str, str]:
        for kind, mark in (("uploads", "/blobs/uploads/"), ("blobs", "/blobs/"), ("manifests", "/manifests/")):
            if mark in path:
                repository, _, name = path.partition(mark)
                return repository, kind, name
        raise AssertionError(path)

    def _allowed(self) -> bool:
        basic = "Basic " + base64.b64encode(self.state.user.encode()).decode()
        expected = basic if self.state.challenge == "basic" else "Bearer good-token"
        if not self.state.user or self.headers.get("Authorization") == expected:
            return True
        realm = f'Bearer realm="http://{self.state.address}/token",service="stand-in",scope="repository:x:pull,push"'
        self._reply(401, {"WWW-Authenticate": 'Basic realm="x"' if self.state.challenge == "basic" else realm})
        return False

    def _token(self, query: dict[str, list[str]]) -> None:
        basic = "Basic " + base64.b64encode(self.state.user.encode()).decode()
        refreshed = query.get("refresh_token") == [self.state.user.partition(":")[2]]
        good = refreshed or self.headers.get("Authorization") == basic
        complete = query.get("service") == ["stand-in"] and query.get("scope") == ["repository:x:pull,push"]
        self._reply(200 if good and complete else 401, {}, json.dumps({"token": "good-token"}).encode())

    def _upload(self, repository: str, query: dict[str, list[str]], body: bytes) -> None:
        if self.command == "POST":
            return self._reply(202, {"Location": f"/v2/{repository}/blobs/uploads/17?state=abc"})
        if self.state.passing_failures:
            self.state.passing_failures -= 1
            return self._reply(503)
        (digest,) = query["digest"]
        if query.get("state") != ["abc"] or digest != f"sha256:{hashlib.sha256(body).hexdigest()}":
            return self._refuse(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.state.blobs[digest] = body
        return self._reply(201)

    def _blob(self, digest: str) -> None:
        if digest not in self.state.blobs:
            return self._refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
        content = self.state.blobs[digest]
        return self._reply(200, {}, content[:-1] + b"!" if self.state.damages else content)

    def _manifest(self, repository: str, version: str, body: bytes) -> None:
        name = f"{repository}:{version}"
        if self.command != "PUT":
            if name not in self.state.manifests:
                return self._refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
            media_type, content = self.state.manifests[name]
            return self._reply(200, {"Content-Type": media_type}, content)
        content, digest = json.loads(body), f"sha256:{hashlib.sha256(body).hexdigest()}"
        named = {*self.state.blobs, *(known.partition(":")[2] for known in self.state.manifests)}
        parts = [*content.get("layers", []), *content.get("manifests", []), *filter(None, [content.get("config")])]
        if any(part["digest"] not in named for part in parts):
            return self._refuse(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
        stored = (self.headers["Content-Type"], body)
        assert content["mediaType"] == stored[0]
        self.state.manifests |= {name: stored, f"{repository}:{digest}": stored}
        return self._reply(201)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._reply(status, {}, json.dumps({"errors": [{"code": code, "message": message}]}).encode())

    def _reply(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def run_stand_in() -> Iterator[RunningRegistry]:
    """Run an empty stand-in while the block runs."""
    handler = type("Handler", (_RegistryHandler,), {})
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        handler.state = RunningRegistry(f"{HOST}:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield handler.state
        server.shutdown()
