"""What surrounds a watcher: changes of its configuration, a reader that goes away, how it is divided."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from crowdserve.cli.watching.reloading import Reloading
from crowdserve.errors import SetupError


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
