"""`crowdserve watch` as a process: what it prints, SIGHUP, SIGTERM, and what it never shows."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from crowdserve.cli.app import app
from crowdserve.live.configuration import Configuration, Site
from crowdserve.live.publishing import Publishing
from crowdserve.live.secrets import Secrets
from crowdserve.live.watcher import Watcher
from crowdserve.local.service import EmbeddedService
from tests.live.readings import alert
from tests.support.cameras import TestCamera, running_camera
from tests.support.free_ports import free_port
from tests.support.waiting import wait_for

PASSWORD, TOKEN = "correct-horse", "t0ken-of-the-hook"
CONFIGURATION = """\
cameras:
  - name: %s
    source: http://user:${CAMERA_PASSWORD}@127.0.0.1:%d/stream?key=plain-key
    every: 0.2s
    route: dense
    zones: [{name: left, polygon: [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], limit: %d}]
history: {url: null}
webhooks: [{url: "http://127.0.0.1:1/hook?token=${TOKEN}", secret: "${TOKEN}"}]
metrics_port: %d
"""


class Running:
    """A watcher's process, which prints into files."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.process = process
        self._folder = folder

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The objects that it has printed, whole ones only."""
        text = (self._folder / "stdout").read_text()
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    @property
    def errors(self) -> str:
        """What it has written to standard error."""
        return (self._folder / "stderr").read_text()

    def cameras(self) -> set[str]:
        """The cameras that it counts now."""
        return {line["camera"] for line in self.lines[-4:] if line.get("status") == "counted"}


@contextmanager
def watching(service: EmbeddedService, folder: Path, *arguments: object) -> Iterator[Running]:
    few_descriptors = ["sh", "-c", 'ulimit -Sn 256 && exec "$@"', "sh"]  # as on macOS
    watch = [sys.executable, "-m", "crowdserve", "watch", *map(str, arguments), "--json", "--url", service.http_url]
    command = [*few_descriptors, *watch]
    environment = os.environ | {"CAMERA_PASSWORD": PASSWORD, "TOKEN": TOKEN, "NO_PROXY": "*"}
    folder.mkdir()
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment)
    try:
        yield Running(process, folder)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def camera() -> Iterator[TestCamera]:
    with running_camera() as running:
        running.password = PASSWORD
        yield running


@pytest.mark.e2e
def test_configuration_is_read_again_and_secrets_are_never_shown(
    small_service: EmbeddedService, camera: TestCamera, tmp_path: Path
) -> None:
    port, file = free_port(), tmp_path / "cameras.yaml"
    file.write_text(CONFIGURATION % ("first", camera.server_port, 50, port))
    with watching(small_service, tmp_path / "run", file) as running:
        wait_for(lambda: running.cameras() == {"first"})
        wait_for(lambda: any(line.get("state") == "raised" for line in running.lines))
        file.write_text("cameras: [{name: a b}]")
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "the configuration stays as it was" in running.errors)
        assert "cameras.yaml:1: cameras[1].name: 'a b' cannot be" in running.errors
        file.write_text(CONFIGURATION % ("second", camera.server_port, 50, port))
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: running.cameras() == {"second"})
        camera.cut = True
        wait_for(lambda: any(line.get("status") == "lost" for line in running.lines))
        shown = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        assert 'crowdserve_camera_up{camera="second"} 0.0' in shown
        assert 'camera="first"' not in shown
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 128 + signal.SIGTERM
    everything = running.errors + json.dumps(running.lines) + shown
    assert "could not be delivered to http://127.0.0.1:1/hook?token=***" in running.errors
    for secret in (PASSWORD, TOKEN, "plain-key"):
        assert secret not in everything


@pytest.mark.e2e
def test_a_folder_as_a_camera(small_service: EmbeddedService, tmp_path: Path) -> None:
    from tests.support.cameras import noisy_jpeg

    (tmp_path / "1.jpg").write_bytes(noisy_jpeg(200, 60))
    with watching(
        small_service, tmp_path / "run", tmp_path, "--every", "0.2s", "--zone", "left=0,0;0.5,0;0.5,1;0,1"
    ) as running:
        wait_for(lambda: running.cameras() == {"camera-1"})
        soft, hard = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
        assert soft == min(1200, hard)
        (counted,) = (line for line in running.lines if line["status"] == "counted")
        assert [zone["zone"] for zone in counted["zones"]] == ["picture", "left"]


def check(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["watch", *map(str, arguments)])


def test_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text(CONFIGURATION % ("first", 80, 50, 9108))
    monkeypatch.setenv("CAMERA_PASSWORD", PASSWORD)
    assert "${TOKEN} is not set" in str(check(file, "--check").exception)
    monkeypatch.setenv("TOKEN", TOKEN)
    assert check(file, "--check").stdout == f"{file}: 1 camera, no fault found\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.yaml", "b.yaml"), "a.yaml is a configuration, which stands alone"),
        (("rtsp://h/x", "--every", "soon", "--check"), "expected a duration such as 5s"),
        (("rtsp://h/x", "--zone", "gate=0,0", "--check"), "zone 'gate' has 1 different corners"),
        (("rtsp://${NOBODY_KNOWS}@h/x", "--check"), "NOBODY_KNOWS} is not set"),
    ],
)
def test_refusals(arguments: tuple[str, ...], message: str) -> None:
    found = check(*arguments)
    assert found.exit_code
    assert message in str(found.exception)


def test_alerts_of_what_is_not_watched_any_more_are_ended(tmp_path: Path) -> None:
    from crowdserve.client.service import ServiceClient
    from crowdserve.live.history.store import HistoryStore

    url = f"sqlite:///{tmp_path}/history.db"
    store = HistoryStore(url)
    store.record(
        [], [alert("known", camera="a"), alert("gone", camera="a", zone="old"), alert("another's", camera="b")]
    )
    store.close()
    zone = {"name": "gate", "polygon": [[0, 0], [1, 0], [0, 1]], "limit": 10}
    cameras = [{"name": "a", "source": str(tmp_path), "zones": [zone]}]
    site = Site.model_validate({"cameras": cameras, "history": {"url": url}})
    publishing = Publishing(Configuration(site, Secrets()), "test")
    with (
        ServiceClient("http://127.0.0.1:1", use_proxy=False) as client,
        Watcher(Configuration(site, Secrets()), client, publishing),
    ):
        pass
    publishing.close()
    again = HistoryStore(url)
    assert {each.id for each in again.open_alerts()} == {"known", "another's"}
    again.close()
