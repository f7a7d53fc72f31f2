"""Scratch folders end with their owners, or at the next start where those were killed."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from crowdserve.scratch import PREFIX, SHARED_MEMORY, Scratch, sweep
from tests.support.waiting import wait_for

OWNS_A_FOLDER = """
import subprocess, sys, time
from pathlib import Path
from crowdserve.scratch import Scratch
scratch = Scratch("test")
(scratch.folder / "file").write_text("x")
Path("/dev/shm", scratch.regions + "region").write_text("x")
child = subprocess.Popen(["sleep", "60"], pass_fds=(scratch.lock,)) if "child" in sys.argv else None
print(child.pid if child else 0, scratch.folder, scratch.regions, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def start_owner(*arguments: str) -> tuple["subprocess.Popen[str]", int, Path, Path]:
    """A process with a folder and a region of shared memory: it, its child's id, and both."""
    owner = subprocess.Popen([sys.executable, "-c", OWNS_A_FOLDER, *arguments], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    child, folder, regions = owner.stdout.readline().split()
    owner.stdout.close()
    return owner, int(child), Path(folder), SHARED_MEMORY / f"{regions}region"


def test_a_folder_is_private_and_deleted_with_its_regions(place: Path) -> None:
    with Scratch("photos") as scratch:
        assert scratch.folder.parent == place
        assert scratch.folder.name.startswith(f"{PREFIX}photos-")
        assert scratch.folder.stat().st_mode & 0o777 == 0o700
        region = SHARED_MEMORY / f"{scratch.regions}one"
        region.touch()
        lock = scratch.lock
        assert lock is not None
        assert not os.get_inheritable(lock)
    assert not region.exists()
    assert not any(place.iterdir())
    scratch.close()  # harmless
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(lock)


def test_the_next_start_deletes_what_a_killed_owner_left(place: Path) -> None:
    owner, _, folder, region = start_owner()
    with Scratch("other"):
        assert (folder / "file").exists()  # its owner lives
        assert region.exists()
        owner.kill()
        owner.wait(20)
    assert folder.exists()
    with Scratch("next") as scratch:
        assert list(place.iterdir()) == [scratch.folder]
        assert not region.exists()


def test_a_folder_lives_as_long_as_a_child_that_inherits_its_lock() -> None:
    owner, child, folder, region = start_owner("child")
    owner.kill()
    owner.wait(20)
    sweep()
    assert folder.exists()
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: sweep() or not folder.exists())
    assert not region.exists()


def test_a_stranger_and_what_is_no_folder_of_ours_stay(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (place / f"{PREFIX}link").symlink_to(elsewhere)
    (place / f"{PREFIX}file").touch()
    (place / "crowdserve-triton-of-an-older-version").mkdir()
    before = sorted(path.name for path in place.rglob("*"))
    sweep()
    assert sorted(path.name for path in place.rglob("*")) == before
    (place / f"{PREFIX}dead").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    sweep()
    assert (place / f"{PREFIX}dead").exists()
    monkeypatch.undo()


def test_starts_and_sweeps_side_by_side_keep_their_folders(place: Path) -> None:
    """A folder is there from its owner's first look to the last, however many others start and sweep meanwhile."""
    lost: list[Path] = []

    def start_often() -> None:
        for _ in range(40):
            with Scratch("race") as scratch:
                (scratch.folder / "file").write_text("x")
                sweep()
                if not (scratch.folder / "file").exists():
                    lost.append(scratch.folder)

    threads = [threading.Thread(target=start_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not lost
    assert not any(place.iterdir())
