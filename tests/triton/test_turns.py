"""Turns of processes on the cores."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crowdserve.triton.python_backend.turns import Turns, usable_cores
from tests.support.waiting import wait_for

TAKES_A_TURN = """
import sys, time
from pathlib import Path
from crowdserve.triton.python_backend.turns import Turns
turns = Turns(Path(sys.argv[1]) / "turns", int(sys.argv[2]))
print("waits", flush=True)
with turns.turn():
    Path(sys.argv[4]).touch()
    time.sleep(float(sys.argv[3]))
"""

UNNOTICED_SECONDS = 0.3
"""Time in which a process that can go on would have done so."""


class Other:
    """Another process that waits for a turn, and keeps it for some seconds."""

    def __init__(self, folder: Path, places: int, seconds: float) -> None:
        self._sign = folder / f"sign-{next(_NUMBERS)}"
        command = [sys.executable, "-c", TAKES_A_TURN, str(folder), str(places), str(seconds), str(self._sign)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "waits\n"

    @property
    def had_its_turn(self) -> bool:
        return self._sign.exists()


_NUMBERS = itertools.count()


@contextmanager
def another(folder: Path, places: int = 1, seconds: float = 60.0) -> Iterator[Other]:
    other = Other(folder, places, seconds)
    try:
        yield other
    finally:
        other.process.kill()
        other.process.communicate()


def test_a_process_waits_until_the_turn_of_another_ends(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "turns", 1)
    with another(tmp_path) as other:
        wait_for(lambda: other.had_its_turn)
    with turns.turn(), another(tmp_path) as other:
        time.sleep(UNNOTICED_SECONDS)
        assert not other.had_its_turn


def test_as_many_run_at_once_as_there_are_places(tmp_path: Path) -> None:
    with another(tmp_path, 2) as one, another(tmp_path, 2) as two:
        wait_for(lambda: one.had_its_turn)
        wait_for(lambda: two.had_its_turn)
        with another(tmp_path, 2) as three:
            time.sleep(UNNOTICED_SECONDS)
            assert not three.had_its_turn
            one.process.send_signal(signal.SIGKILL)  # the kernel frees its place
            wait_for(lambda: three.had_its_turn)


def test_who_has_just_run_stands_behind_those_that_waited(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "turns", 1)
    with turns.turn():
        first = Other(tmp_path, 1, seconds=0.1)
        second = Other(tmp_path, 1, seconds=0.1)
        time.sleep(UNNOTICED_SECONDS)  # one is first in the queue, the other behind it
    with turns.turn():
        assert first.had_its_turn or second.had_its_turn
    for other in (first, second):
        other.process.communicate(timeout=30)


def test_an_error_gives_the_place_back(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "turns", 1)
    with pytest.raises(ValueError, match="broken"), turns.turn():
        raise ValueError("broken")
    with another(tmp_path) as other:
        wait_for(lambda: other.had_its_turn)


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("50000 100000", 1), ("100000 100000", 1), ("110000 100000", 2), ("max 100000", 999), ("", 999)],
)
def test_a_container_has_the_cores_of_its_limit(tmp_path: Path, limit: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    available = len(os.sched_getaffinity(0))
    assert usable_cores(tmp_path / "cpu.max") == min(cores, available)
    assert usable_cores(tmp_path / "missing") == available
