"""Bundles of the small models, and servers to push them to: a registry and S3, over HTTP."""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from crowdserve.bundle.archive import write_tar
from crowdserve.bundle.assembly import build_bundle
from crowdserve.bundle.cache import ModelCache
from crowdserve.bundle.folder import list_files
from crowdserve.bundle.manifest import Manifest, read_manifest
from crowdserve.local.processes import ChildProcess, choose_ports
from tests.support.registry import HOST, RunningRegistry, run_stand_in
from tests.support.waiting import answers

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
    """A bundle that a test may change."""
    return shutil.copytree(built, tmp_path / "bundle")


@pytest.fixture
def private_umask() -> Iterator[None]:
    """New files and folders are for their owner alone, as on many administrators' machines."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def stand_in() -> Iterator[RunningRegistry]:
    """An empty registry that can require a login, fail, or return damaged content."""
    with run_stand_in() as registry:
        yield registry


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
        process.wait_until(lambda: answers(f"http://{HOST}:{port}/v2/"), START_SECONDS)
        yield RunningRegistry(f"{HOST}:{port}")
    finally:
        process.stop(5)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 server in its own process."""
    (port,) = choose_ports(HOST, None)
    process = ChildProcess(
        "the S3 server",
        [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
        folder=tmp_path_factory.mktemp("s3"),
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        process.wait_until(lambda: answers(f"http://{HOST}:{port}/moto-api/"), START_SECONDS)
        yield f"http://{HOST}:{port}"
    finally:
        process.stop(5)


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket; the environment of this process has the credentials."""
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
