"""Commands that a signal ends leave no folder, no shared memory and no process; the next start sweeps the rest."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from crowdserve.bundle.assembly import build_bundle
from crowdserve.cli.interruption import cleaning_up
from crowdserve.scratch import PREFIX, SHARED_MEMORY
from tests.support.photos import gray_photo
from tests.support.waiting import wait_for

Start = Callable[..., "subprocess.Popen[str]"]
COMMAND = (sys.executable, "-m", "crowdserve")


@pytest.fixture
def scratches(tmp_path: Path) -> Path:
    """The temporary directory of the commands."""
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


def left_in(scratches: Path) -> set[str]:
    """Folders there; onnxruntime keeps a file of its own there too."""
    return {path.name for path in scratches.iterdir() if path.is_dir()}


@pytest.fixture
def start(scratches: Path) -> Iterator[Start]:
    """`start("count", …)`: a command; one that still runs at the end is killed."""
    env = {**os.environ, "TMPDIR": str(scratches), "OMP_NUM_THREADS": "1"}
    with ExitStack() as running:
        # A shell lets what it starts in the background ignore Ctrl-C, nohup a hang-up, and so would the commands.
        for number in (signal.SIGINT, signal.SIGHUP):
            running.callback(signal.signal, number, signal.signal(number, signal.SIG_DFL))

        def run(*arguments: object) -> "subprocess.Popen[str]":
            command = [*COMMAND, *map(str, arguments)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
            running.enter_context(process)
            running.callback(process.kill)
            return process

        yield run


def processes_in(folder: Path) -> set[int]:
    """Processes that work in a folder of this one's: Triton, its stubs and the transformer."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.joinpath("cwd").readlink().is_relative_to(folder):
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def regions_of(process: "subprocess.Popen[str]") -> list[Path]:
    return list(SHARED_MEMORY.glob(f"{PREFIX}*-{process.pid}-*"))


@pytest.mark.e2e
@pytest.mark.parametrize(("command", "number"), [("count", signal.SIGTERM), ("evaluate", signal.SIGHUP)])
def test_a_command_that_is_ended_leaves_nothing(
    command: str,
    number: signal.Signals,
    start: Start,
    small_repository: Path,
    dataset: Path,
    scratches: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "photo.png").write_bytes(gray_photo())
    given = {"count": [tmp_path / "photo.png"] * 2000, "evaluate": [dataset, "--output", tmp_path / "out"]}[command]
    process = start(command, *given, "--json", "--repository", small_repository, "--threads", 1)
    wait_for(lambda: len(processes_in(scratches)) >= 2 and bool(regions_of(process)))
    process.send_signal(number)
    process.send_signal(number)  # does not interrupt the clean-up
    _, printed = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in printed) == (128 + number, False)
    assert not left_in(scratches)
    assert not processes_in(scratches)
    assert not regions_of(process)


@pytest.mark.parametrize(("command", "number"), [("count", signal.SIGHUP), ("evaluate", signal.SIGINT)])
def test_a_command_does_not_wait_for_a_silent_server(
    command: str, number: signal.Signals, start: Start, dataset: Path, silent_server: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "photo.png").write_bytes(gray_photo())
    given = {"count": [tmp_path / "photo.png"], "evaluate": [dataset, "--output", tmp_path / "out"]}[command]
    process = start(command, *given, "--url", f"http://{address(silent_server)}")
    connection, _ = silent_server.accept()
    with connection:
        process.send_signal(number)
        _, printed = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in printed) == (128 + number, False)
    assert ("stopped after 0 of 11 photos; the counts so far are kept" in printed) is (command == "evaluate")


def test_a_push_that_is_ended_leaves_nothing(
    start: Start, small_repository: Path, scratches: Path, silent_server: socket.socket, tmp_path: Path
) -> None:
    build_bundle(small_repository, tmp_path / "bundle", "cpu")
    push = ("bundle", "push", tmp_path / "bundle", f"oci://{address(silent_server)}/models:1", "--base", "scratch")
    process = start(*push)
    wait_for(lambda: any(scratches.rglob("index.json")))
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in printed) == (128 + signal.SIGTERM, False)
    assert not left_in(scratches)


@pytest.mark.e2e
@pytest.mark.skipif(not os.environ.get("CROWDSERVE_HOSTILE_TEST"), reason="make hostile-test")
def test_the_next_start_sweeps_what_a_killed_service_left(
    start: Start, small_repository: Path, scratches: Path
) -> None:
    process = start("up", "--repository", small_repository, "--threads", 1)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("REST")
    assert len(processes_in(scratches)) >= 2
    left = left_in(scratches)
    assert len(left) == 2
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not processes_in(scratches))  # none outlives it
    assert left_in(scratches) == left

    with start("up", "--repository", small_repository, "--threads", 1) as following:
        assert following.stdout is not None
        assert following.stdout.readline().startswith("REST")
        assert not left & left_in(scratches)
        assert not regions_of(process)
        following.send_signal(signal.SIGHUP)
        assert following.wait(60) == 0
    assert not left_in(scratches)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with cleaning_up():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_where_python_drops_exceptions_is_not_lost() -> None:
    code = """
import os, signal, time
from crowdserve.cli.interruption import cleaning_up

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

with cleaning_up():
    Dropped()
    time.sleep(30)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGTERM, "")
