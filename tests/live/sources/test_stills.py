import os
import time
from itertools import count
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
    grown = count()
    frames = open_source(
        str(tmp_path), 0.05, pause=lambda _: put(tmp_path / "growing.jpg", b"half" * (next(grown) + 1), -60)
    )
    frame = next(frames)
    assert frame.jpeg() == b"new"
    assert frame.at == pytest.approx(time.time() - 10, abs=2)
    put(tmp_path / "newer.png", b"newer", 2)
    assert next(frames).jpeg() == b"newer"
    with pytest.raises(SourceLost, match="has had no new picture for"):
        next(frames)


def test_clocks_that_are_wrong_or_set_back_hide_no_picture(tmp_path: Path) -> None:
    put(tmp_path / "now.jpg", b"now", 5)
    frames = open_source(str(tmp_path), 0.05)
    assert next(frames).jpeg() == b"now"
    put(tmp_path / "ahead.jpg", b"ahead", -3600)
    ahead = next(frames)
    assert (ahead.jpeg(), ahead.at <= time.time()) == (b"ahead", True)
    put(tmp_path / "an hour back.jpg", b"back", 3600)
    assert next(frames).jpeg() == b"back"
    put(tmp_path / "ahead.jpg", b"ahead, again", -3600)
    assert next(frames).jpeg() == b"ahead, again"


def test_cameras_make_folders_by_day_and_hour(tmp_path: Path) -> None:
    (tmp_path / "2026-05-01" / "18").mkdir(parents=True)
    put(tmp_path / "2026-05-01" / "18" / "1.heic", b"evening", 30)
    frames = open_source(str(tmp_path), 0.05)
    assert next(frames).jpeg() == b"evening"
    (tmp_path / "2026-05-02" / "09").mkdir(parents=True)
    put(tmp_path / "2026-05-02" / "09" / "1.jpg", b"morning", 1)
    assert next(frames).jpeg() == b"morning"


def test_what_cannot_be_read_hides_nothing_else(tmp_path: Path) -> None:
    put(tmp_path / "1.jpg", b"one", 30)
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "round").symlink_to(".")
    assert next(open_source(str(tmp_path), 0.05)).jpeg() == b"one"


def test_a_picture_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> bytes:
        raise PermissionError(13, "no")

    put(tmp_path / "1.jpg", b"one", 30)
    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(SourceLost, match="this program may not open the newest picture of the folder"):
        next(open_source(str(tmp_path), 0.02))


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
