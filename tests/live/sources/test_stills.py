import os
import time
from pathlib import Path

import pytest

from crowdserve.live.errors import SourceLost
from crowdserve.live.sources import open_source


def put(path: Path, content: bytes, age_seconds: float) -> None:
    path.write_bytes(content)
    os.utime(path, (time.time() - age_seconds,) * 2)


def test_newest_picture_that_is_complete(tmp_path: Path) -> None:
    put(tmp_path / "old.jpg", b"old", 30)
    put(tmp_path / "new.JPG", b"new", 10)
    put(tmp_path / "note.txt", b"note", 5)
    put(tmp_path / "empty.jpg", b"", 5)
    put(tmp_path / "growing.jpg", b"half", -60)
    frames = open_source(str(tmp_path), 0.05)
    frame = next(frames)
    assert frame.jpeg() == b"new"
    assert frame.at == pytest.approx(time.time() - 10, abs=2)
    put(tmp_path / "newer.png", b"newer", 2)
    assert next(frames).jpeg() == b"newer"
    with pytest.raises(SourceLost, match="has had no new picture for"):
        next(frames)


def test_a_picture_that_is_cleared_away_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "old.jpg", b"old", 30)
    put(tmp_path / "gone.jpg", b"gone", 10)
    read = Path.read_bytes

    def read_late(path: Path) -> bytes:
        if path.name == "gone.jpg":
            path.unlink()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_late)
    assert next(open_source(str(tmp_path), 0.05)).jpeg() == b"old"


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceLost, match="no such file, folder or device"):
        open_source(str(tmp_path / "missing"), 1)
