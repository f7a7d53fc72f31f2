"""Bundles of the small models, and servers for them to be pushed to: a registry and an S3, over HTTP."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from crowdserve.bundle.archive import write_tar
from crowdserve.bundle.assembly import build_bundle
from crowdserve.bundle.cache import ModelCache
from crowdserve.bundle.manifest import Manifest, list_files, read_manifest
from crowdserve.local.processes import ChildProcess, choose_ports

HOST = "127.0.0.1"
START_SECONDS = 60.0


@pytest.fixture(scope="session")
def built(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test changes."""
    folder = tmp_path_factory.mktemp("built") / "bundle"
    build_bundle(small_repository, folder, "gpu")
    return folder


@pytest.fixture(scope="session")
def manifest(built: Path) -> Manifest:
    """Its manifest."""
    return read_manifest(built)


@pytest.fixture
def bundle(built: Path, tmp_path: Path) -> Path:
    """A bundle that a test may spoil."""
    return shutil.copytree(built, tmp_path / "bundle")


@pytest.fixture
def unreadable() -> Path:
    """A file without content whose reading fails, for root as well."""
    return Path("/proc/self/mem")


@pytest.fixture
def private_umask() -> Iterator[None]:
    """New files and folders are for their owner alone, as on many administrators' machines."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@dataclass
class RunningRegistry:
    """A registry that listens, and what it has seen if it is the stand-in.

    Attributes:
        user: ``user:password`` that it asks for; empty for none.
        challenge: How it asks: basic or bearer.
        passing_failures: How many of the next uploads fail with 503.
        damages: Whether it hands out other bytes than it got.
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
    """The distribution API as far as a push takes it, and as strict as a real one about digests and order."""

    state: RunningRegistry
    protocol_version = "HTTP/1.1"

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
        return self._reply(200, {}, self.state.blobs[digest] + b"!" * self.state.damages)

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


@pytest.fixture
def stand_in() -> Iterator[RunningRegistry]:
    """An empty registry that can be made to ask for a login, to fail and to cheat."""
    handler = type("Handler", (_RegistryHandler,), {})
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        handler.state = RunningRegistry(f"{HOST}:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield handler.state
        server.shutdown()


@pytest.fixture(params=["stand-in", "docker-registry"])
def registry(request: pytest.FixtureRequest, stand_in: RunningRegistry, tmp_path: Path) -> Iterator[RunningRegistry]:
    """Each registry: the stand-in and, where it is installed (Debian: docker-registry), a real one."""
    if request.param == "stand-in":
        yield stand_in
        return
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    (port,) = choose_ports(HOST, None)
    config = {"version": "0.1", "storage": {"inmemory": {}}, "http": {"addr": f"{HOST}:{port}"}}
    (tmp_path / "registry.yml").write_text(json.dumps(config))
    command = ["docker-registry", "serve", str(tmp_path / "registry.yml")]
    process = ChildProcess("the registry", command, folder=tmp_path, env=os.environ)
    try:
        process.wait_until(lambda: _answers(f"http://{HOST}:{port}/v2/"), START_SECONDS)
        yield RunningRegistry(f"{HOST}:{port}")
    finally:
        process.stop(5)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that speaks S3, in a process of its own."""
    (port,) = choose_ports(HOST, None)
    process = ChildProcess(
        "the S3 server",
        [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
        folder=tmp_path_factory.mktemp("s3"),
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        process.wait_until(lambda: _answers(f"http://{HOST}:{port}/moto-api/"), START_SECONDS)
        yield f"http://{HOST}:{port}"
    finally:
        process.stop(5)


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket there; this process and its children are its client."""
    settings = {
        "AWS_ENDPOINT_URL_S3": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = f"models-{time.time_ns()}"
    import boto3

    boto3.client("s3").create_bucket(Bucket=bucket)
    return bucket


@pytest.fixture(scope="session")
def run_bundle() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_bundle("verify", path)`: the command line in a process of its own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "crowdserve", "bundle", *map(str, arguments)]
        env = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100"}
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False)

    return run


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    """Where pulled bundles go; the folder does not exist yet."""
    return ModelCache(tmp_path / "models")


@pytest.fixture(scope="session")
def archive(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle as `crowdserve bundle build` packs it."""
    path = tmp_path_factory.mktemp("archive") / "bundle.tar"
    with path.open("wb") as stream:
        write_tar(stream, built, list_files(built))
    return path


@dataclass
class WebServer:
    """A real web server for the files of a folder.

    Attributes:
        authorizations: The header of each request.
        sent_bytes: How much of the files has left it, by name.
        cut_after_bytes: Where it breaks the line, if anywhere.
        stalled: Set while it keeps the line open there instead.
        token: Bearer token that it asks for; empty for none.
        redirect: Address that it sends everybody to; empty for none.
        endless: Whether a file is followed by zeros without an end.
    """

    folder: Path
    url: str = ""
    authorizations: list[str | None] = field(default_factory=list)
    sent_bytes: dict[str, int] = field(default_factory=dict)
    cut_after_bytes: int | None = None
    stalled: threading.Event | None = None
    token: str = ""
    redirect: str = ""
    endless: bool = False


class _WebHandler(SimpleHTTPRequestHandler):
    state: WebServer

    def do_GET(self) -> None:
        self.state.authorizations.append(self.headers.get("Authorization"))
        if self.state.redirect:
            self.send_response(302)
            self.send_header("Location", self.state.redirect)
            self.end_headers()
        elif self.state.token and self.headers.get("Authorization") != f"Bearer {self.state.token}":
            self.send_error(401)
        else:
            super().do_GET()

    def send_header(self, keyword: str, value: str) -> None:
        if not (self.state.endless and keyword == "Content-Length"):
            super().send_header(keyword, value)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()[: self.state.cut_after_bytes]
        name = self.path.lstrip("/")
        with suppress(OSError):  # the client has seen enough
            for start in range(0, len(content), 4096):
                outputfile.write(content[start : start + 4096])
                self.state.sent_bytes[name] = start
            if self.state.stalled:
                outputfile.flush()
                self.state.stalled.wait(60)
            while self.state.endless:
                outputfile.write(bytes(1 << 16))
                self.state.sent_bytes[name] += 1 << 16

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def serve_folder() -> Iterator[Callable[[Path], WebServer]]:
    """Starts a web server: `serve_folder(folder)`."""
    with ExitStack() as stack:

        def start(folder: Path) -> WebServer:
            handler = type("Handler", (_WebHandler,), {"state": WebServer(folder)})
            server = stack.enter_context(ThreadingHTTPServer((HOST, 0), partial(handler, directory=str(folder))))
            handler.state.url = f"http://{HOST}:{server.server_port}"
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.shutdown)
            return handler.state

        yield start
