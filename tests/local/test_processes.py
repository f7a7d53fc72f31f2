"""Child processes end with their parent or when stopped, and report failures."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from crowdserve.errors import PlatformError
from crowdserve.local.processes import ChildProcess, choose_ports, preferred_port
from tests.support.waiting import wait_for

STARTS_A_CHILD_AND_WAITS = """
import os, sys, time
from pathlib import Path
from crowdserve.local.processes import ChildProcess
child = ChildProcess("sleep", ["sleep", "60"], folder=Path(sys.argv[1]), env=os.environ)
print(child.pid, flush=True)
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def shell(command: str, folder: Path) -> ChildProcess:
    return ChildProcess("a shell", ["sh", "-c", command], folder=folder, env=os.environ)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_child_dies_with_its_parent(tmp_path: Path, end: signal.Signals) -> None:
    command = [sys.executable, "-c", STARTS_A_CHILD_AND_WAITS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(end)
        parent.wait(20)
        wait_for(lambda: not is_running(pid))


def test_stop_ends_the_whole_group(tmp_path: Path) -> None:
    child = shell("sleep 60 & echo $!; wait", tmp_path)
    wait_for(lambda: bool(child.log_tail()))
    grandchild = int(child.log_tail())
    assert is_running(grandchild)
    child.stop(grace_seconds=5)
    assert not is_running(child.pid)
    wait_for(lambda: not is_running(grandchild))
    child.stop(grace_seconds=5)  # harmless


def test_stop_after_the_child_has_died_ends_the_rest_of_its_group(tmp_path: Path) -> None:
    child = shell("sleep 60 & echo $!; wait", tmp_path)
    wait_for(lambda: bool(child.log_tail()))
    grandchild = int(child.log_tail())
    os.kill(child.pid, signal.SIGKILL)
    wait_for(lambda: not is_running(child.pid))
    child.stop(grace_seconds=5)
    wait_for(lambda: not is_running(grandchild))


def test_stop_kills_a_child_that_ignores_sigterm(tmp_path: Path) -> None:
    child = shell("trap '' TERM; echo ready; while true; do sleep 1; done", tmp_path)
    wait_for(lambda: bool(child.log_tail()))
    child.stop(grace_seconds=0.2)
    assert child.exit_code == -signal.SIGKILL


def test_stop_lets_a_child_clean_up(tmp_path: Path) -> None:
    child = shell("trap 'sleep 0.3; echo cleaned; exit 0' TERM; echo ready; sleep 60 & wait", tmp_path)
    wait_for(lambda: bool(child.log_tail()))
    child.stop(grace_seconds=20)
    assert (child.exit_code, child.log_tail(1)) == (0, "cleaned")


def test_ctrl_c_in_the_terminal_does_not_reach_a_child(tmp_path: Path) -> None:
    child = shell("sleep 60", tmp_path)
    try:
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
    finally:
        child.stop(grace_seconds=5)


def test_child_works_in_its_own_folder(tmp_path: Path) -> None:
    child = shell("pwd", tmp_path)
    wait_for(lambda: child.exit_code == 0)
    assert child.log_tail() == str(tmp_path)
    assert child.log.parent == tmp_path


def test_child_that_ends_is_reported_with_its_log(tmp_path: Path) -> None:
    child = shell("for i in $(seq 100); do echo line $i; done; exit 3", tmp_path)
    with pytest.raises(
        PlatformError, match=r"a shell ended with exit code 3; its log ends:\nline 81\n(.|\n)*line 100$"
    ):
        child.wait_until(lambda: False, timeout_seconds=20)


def test_child_that_takes_too_long_is_reported_with_its_log(tmp_path: Path) -> None:
    child = shell("echo loading; sleep 60", tmp_path)
    try:
        with pytest.raises(PlatformError, match=r"not ready after 1 s; its log ends:\nloading"):
            child.wait_until(lambda: False, timeout_seconds=1)
    finally:
        child.stop(grace_seconds=5)


def test_chosen_ports_are_free_and_distinct() -> None:
    ports = choose_ports("127.0.0.1", None, None, None)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_port_in_use_is_refused_and_preferred_port_is_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(PlatformError, match=f"port {taken} on 127.0.0.1 cannot be used .*choose another"):
            choose_ports("127.0.0.1", None, taken)
        assert preferred_port("127.0.0.1", taken) != taken
    assert preferred_port("127.0.0.1", taken) == taken


def test_address_of_another_host_is_refused() -> None:
    with pytest.raises(PlatformError, match=r"on 192\.0\.2\.1 cannot be used"):
        preferred_port("192.0.2.1", 8080)
