"""`crowdserve console` and `crowdserve up --cameras` as processes."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from crowdserve.cli.app import app
from crowdserve.errors import SetupError
from tests.support.cameras import running_camera
from tests.support.consoles import TOKEN, Told
from tests.support.free_ports import free_port
from tests.support.waiting import answers, wait_for


@contextmanager
def running(folder: Path, *arguments: object) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "crowdserve", *map(str, arguments)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env=os.environ | {"CROWDSERVE_CONSOLE_TOKEN": TOKEN}
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """A soft limit that a process inherits, as of many shells."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_descriptors")
def test_a_console_whose_watchers_are_away_ends_while_a_page_is_open(tmp_path: Path) -> None:
    port = free_port()
    watcher = f"127.0.0.1:{free_port()}"
    url = f"http://127.0.0.1:{port}/console/"
    with running(tmp_path, "console", "--url", "http://127.0.0.1:1", "--watcher", watcher, "--port", port) as process:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0] >= 800
        with Told(url) as told:
            wait_for(lambda: any(kind == "cameras" and value["watchers"] for kind, value in told.events))
            (seen,) = next(value["watchers"] for kind, value in told.events if kind == "cameras" and value["watchers"])
            assert (seen["address"], seen["connected"]) == (watcher, False)
            wait_for(lambda: any(kind == "service" and not value["ready"] for kind, value in told.events))
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            process.wait(30)
            assert time.monotonic() - started < 10
    assert TOKEN not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--watcher", "http://host"), "expected HOST or HOST:PORT"),
        (("--host", "192.0.2.1"), "cannot be served: 192.0.2.1 is no address of this machine"),
        (("--console-hosts", "http://host"), "is no name"),
    ],
)
def test_what_cannot_be_served(arguments: tuple[str, ...], message: str) -> None:
    named = ["console", "--url", "http://127.0.0.1:1", "--port", str(free_port()), *arguments]
    with pytest.raises(SetupError, match=message):
        CliRunner().invoke(app, named, catch_exceptions=False)


@pytest.mark.e2e
@pytest.mark.skipif(not os.environ.get("CROWDSERVE_CONSOLE_TEST"), reason="make console-test")
def test_up_with_cameras(small_repository: Path, tmp_path: Path) -> None:
    ports = [free_port() for _ in range(4)]
    with running_camera() as camera:
        file = tmp_path / "cameras.yaml"
        file.write_text(
            f"cameras: [{{name: a, source: '{camera.url}/stream', every: 0.3s}}]\nmetrics_port: {ports[3]}\n"
        )
        named = [
            text
            for name, port in zip(("--port", "--grpc-port", "--metrics-port"), ports, strict=False)
            for text in (name, port)
        ]
        url = f"http://127.0.0.1:{ports[0]}/console/"
        with running(tmp_path, "up", "--cameras", file, "--repository", small_repository, *named):
            wait_for(lambda: answers(url), 90)
            with Told(url) as told:
                wait_for(lambda: told.cameras.get("a", {}).get("status") == "counted")
            zones = {"zones": [{"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1]]}]}
            sent = httpx.put(
                f"{url}api/cameras/a/zones", json=zones, headers={"authorization": f"Bearer {TOKEN}"}, trust_env=False
            )
            assert (sent.status_code, sent.json()["kept"]) == (200, True)
            assert "left" in file.read_text()
            file.write_text(file.read_text().replace("name: a", "name: b"))
            with Told(url) as told:
                wait_for(lambda: told.cameras.get("b", {}).get("status") == "counted")
            answered = httpx.post(f"{url}api/count", content=camera.frame(), trust_env=False, timeout=60)
            assert answered.status_code == 200
