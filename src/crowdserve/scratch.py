"""Scratch folders that never stay behind: the next start deletes those whose owners could not.

The owner holds a lock on its folder, and its child processes inherit it. The kernel drops the lock with the last of
them, however they end. So a folder that can be locked belongs to nobody: its owner was killed.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

if sys.platform != "win32":
    import fcntl

PREFIX = "crowdserve-scratch-"
SHARED_MEMORY = Path("/dev/shm")


class Scratch:
    """Context manager: a private folder in the temporary directory, deleted at the end.

    Args:
        purpose: A word in the folder's name.

    Attributes:
        folder: The folder.
        lock: The descriptor that holds its lock, for child processes to inherit; None where it cannot be locked.
        regions: Prefix for names in /dev/shm, which are deleted together with the folder.
    """

    def __init__(self, purpose: str) -> None:
        sweep()
        self.folder, self.lock = _make(f"{PREFIX}{purpose}-{os.getpid()}-")
        self.regions = _regions(self.folder)

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Delete the folder and its regions; do nothing if that was done."""
        _delete(self.folder)
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def sweep() -> None:
    """Delete this user's scratch folders whose owners have ended; leave every other one alone."""
    with suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with _locked(path) as ours:
                if ours:
                    _delete(path)


def _make(prefix: str) -> tuple[Path, int | None]:
    """Make a folder and lock it; another one where a sweep took the new folder before its owner could lock it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        try:
            descriptor = _lock(folder)
        except (BlockingIOError, FileNotFoundError):
            continue
        except OSError:  # a file system without locks: nobody can sweep there either
            return folder, None
        if descriptor is None or _is(folder, descriptor):
            return folder, descriptor
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock while the block runs; false if another process holds it, or another user owns it."""
    descriptor = None
    with suppress(OSError):
        descriptor = _lock(folder)
    if descriptor is None:
        yield False
        return
    try:
        yield os.fstat(descriptor).st_uid == os.geteuid() and _is(folder, descriptor)
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """Open a folder, not through a link, and lock it.

    Raises:
        OSError: If it cannot be opened or locked; BlockingIOError if somebody holds the lock.
    """
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is(folder: Path, descriptor: int) -> bool:
    """Whether the path still leads to the folder that was opened."""
    try:
        return os.path.samestat(folder.lstat(), os.fstat(descriptor))
    except OSError:
        return False


def _regions(folder: Path) -> str:
    return f"{folder.name}_"


def _delete(folder: Path) -> None:
    for region in SHARED_MEMORY.glob(f"{_regions(folder)}*"):
        with suppress(OSError):
            region.unlink()
    shutil.rmtree(folder, ignore_errors=True)
