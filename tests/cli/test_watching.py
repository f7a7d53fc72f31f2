"""What surrounds a watcher: changes of its configuration, a reader that goes away, how it is divided."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import yaml

from crowdserve.cli.watching import reloading as module
from crowdserve.cli.watching.reloading import Reloading, change, following
from crowdserve.client.service import ServiceClient
from crowdserve.errors import SetupError
from crowdserve.live.configuration import Configuration, read_configuration
from crowdserve.live.publishing import Publishing
from crowdserve.live.watcher import Watcher
from tests.support.waiting import wait_for


def test_a_file_that_is_another_one_is_read_again_once(tmp_path: Path) -> None:
    """A ConfigMap is a link to a folder that is replaced, and times may not change."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cameras.yaml").write_text(name)
    (tmp_path / "now").symlink_to("one")
    secret = tmp_path / "secret"
    secret.write_text("1")
    with Reloading(tmp_path / "now" / "cameras.yaml", look_seconds=0) as reloading:
        reloading.remember([str(secret)])
        assert not reloading.is_due()
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "now")
        assert [reloading.is_due() for _ in range(3)] == [True, False, False]
        secret.write_text("2")
        assert [reloading.is_due() for _ in range(3)] == [True, False, False]
        (tmp_path / "two" / "cameras.yaml").unlink()
        assert not reloading.is_due()  # it is being replaced


class EditedMeanwhile(Watcher):
    """One whose file is saved once more while its cameras change."""

    file: Path

    def change(self, configuration: Configuration) -> None:
        super().change(configuration)
        self.file.write_text(self.file.read_text().replace("name: b", "name: c"))


@contextmanager
def changing(kind: type[Watcher], file: Path) -> Iterator[Watcher]:
    """A watcher, not started, whose file has another content by now."""
    file.write_text("cameras: [{name: a, source: /none}]\nhistory: {url: null}\nmetrics_port: null\n")
    configuration = read_configuration(file)
    with closing(Publishing(configuration, "test")) as publishing, ServiceClient("http://127.0.0.1:1") as client:
        watcher = kind(configuration, client, publishing)
        try:
            yield watcher
        finally:
            watcher.stop(["a", "b", "c"])


def cameras(watcher: Watcher) -> list[str]:
    return [camera.name for camera in watcher.configuration.site.cameras]


def test_what_is_saved_while_cameras_change_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "cameras.yaml"
    with changing(EditedMeanwhile, file) as watcher, Reloading(file, look_seconds=0) as reloading:
        watcher.file = file  # type: ignore[attr-defined]
        reloading.remember()
        file.write_text(file.read_text().replace("name: a", "name: b"))
        for seen in ("b", "c"):
            assert reloading.is_due()
            change(watcher, file, reloading)
            assert cameras(watcher) == [seen]
        assert not reloading.is_due()


def test_a_configuration_is_followed_past_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, failures = tmp_path / "cameras.yaml", [RuntimeError("of a library")]

    class Failing(Watcher):
        def change(self, configuration: Configuration) -> None:
            if failures:
                raise failures.pop()
            super().change(configuration)

    monkeypatch.setattr(module, "_EVERY_SECONDS", 0.01)
    with changing(Failing, file) as watcher:
        reloading = Reloading(file, look_seconds=0)
        reloading.remember()
        with following(watcher, file, reloading):
            file.write_text(file.read_text().replace("name: a", "name: b"))
            wait_for(lambda: not failures)
            file.write_text(file.read_text().replace("name: b", "name: c"))
            wait_for(lambda: cameras(watcher) == ["c"])


def test_sighup_before_the_configuration_is_read_does_not_end_it(tmp_path: Path) -> None:
    with Reloading(tmp_path / "cameras.yaml") as reloading:
        os.kill(os.getpid(), signal.SIGHUP)
        (tmp_path / "cameras.yaml").write_text("x")
        reloading.remember()
        assert [reloading.is_due() for _ in range(2)] == [True, False]


def test_sighup_while_it_still_loads_does_not_end_it(tmp_path: Path) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text("cameras: [{name: a, source: /none}]\nhistory: {url: null}\nmetrics_port: null\n")
    at_once = (
        "import os, signal, sys; from crowdserve.__main__ import _wait_with_hang_ups, main; "
        "_wait_with_hang_ups(sys.argv[1:]); os.kill(os.getpid(), signal.SIGHUP); main()"
    )
    command = [sys.executable, "-c", at_once, "watch", str(file), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"{file}: 1 camera, no fault found\n")


@pytest.mark.parametrize("metrics_port", [None, 0])
def test_without_a_reader_of_its_lines_it_says_so_once_and_ends_unless_others_know(
    tmp_path: Path, metrics_port: int | None
) -> None:
    site = {
        "cameras": [{"name": "a", "source": str(tmp_path / "none"), "every": "0.1s"}],
        "history": {"url": None},
        "metrics_port": metrics_port,
    }
    file = tmp_path / "cameras.yaml"
    file.write_text(yaml.safe_dump(site))
    command = [sys.executable, "-m", "crowdserve", "watch", str(file), "--json", "--url", "http://127.0.0.1:1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert '"camera": "a"' in process.stdout.readline()
    process.stdout.close()
    try:
        if metrics_port is None:
            process.wait(20)
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(2)
    finally:
        process.terminate()
        errors = process.communicate(timeout=20)[1]
    assert errors.count("standard output is closed") == 1
    assert "Traceback" not in errors
    assert "Broken pipe" not in errors.replace("standard output is closed (Broken pipe)", "")


@pytest.mark.parametrize(
    ("fleet", "lease", "cameras", "message"),
    [
        (None, "15s", 201, "there are 201 cameras, and one watcher takes 200; divide them"),
        ("fleet", "soon", 1, "--lease is 'soon'; expected a duration"),
        ("fleet", "1s", 1, "expected 5s to 3600s"),
    ],
)
def test_divisions_that_cannot_be(fleet: str | None, lease: str, cameras: int, message: str) -> None:
    from crowdserve.cli.watching.division import dividing

    with pytest.raises(SetupError, match=message), dividing(fleet, lease, None, cameras):
        pass
