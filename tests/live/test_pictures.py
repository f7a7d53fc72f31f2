import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crowdserve.live.configuration import Pictures
from crowdserve.live.pictures import CELLS, PictureStore, pixelated
from tests.support.paths import PHOTO


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.jpg"))


def store(folder: Path, **settings: object) -> PictureStore:
    return PictureStore(Pictures.model_validate({"folder": str(folder), **settings}))


def test_nothing_is_kept_by_default(tmp_path: Path) -> None:
    store(tmp_path).keep("a", time.time(), PHOTO.read_bytes())
    assert list(tmp_path.iterdir()) == []


def test_pixelated_unless_originals_are_asked_for(tmp_path: Path) -> None:
    photo, now = PHOTO.read_bytes(), time.time()
    store(tmp_path / "1", keep="1h").keep("a", now, photo)
    store(tmp_path / "2", keep="1h", form="original").keep("a", now, photo)
    (small,), (original,) = kept(tmp_path / "1"), kept(tmp_path / "2")
    assert small.read_bytes() == pixelated(photo)
    assert original.read_bytes() == photo
    assert {path.stat().st_mode & 0o777 for path in (small, original)} == {0o600}


def test_a_pixelated_picture_holds_nothing_but_its_cells() -> None:
    """Whatever is finer than a cell does not change it: a photo and its cells make the same picture."""
    with Image.open(io.BytesIO(pixelated(PHOTO.read_bytes()))) as found:
        cells = np.asarray(found.convert("RGB")).astype(int)
    side = cells.shape[1] // CELLS
    blocks = cells.reshape(cells.shape[0] // side, side, CELLS, side, 3)
    assert blocks.shape[2] == CELLS
    assert blocks.std(axis=(1, 3)).max() < 1


def test_a_pixelated_picture_has_no_comment_of_its_file() -> None:
    file = io.BytesIO()
    with Image.open(PHOTO) as photo:
        photo.save(file, format="JPEG", comment=b"owner and place")
    assert b"owner and place" in file.getvalue()
    assert b"owner and place" not in pixelated(file.getvalue())


def test_one_now_and_then_and_for_so_long(tmp_path: Path) -> None:
    pictures, now = store(tmp_path, keep="60s", every="10s"), time.time()
    for at in (now - 100, now - 95, now - 50, now):
        pictures.keep("a", at, PHOTO.read_bytes())
    pictures.keep("b", now - 1, PHOTO.read_bytes())
    assert [path.parent.name for path in kept(tmp_path)] == ["a", "a", "b"]
    pictures.forget_before(now - 20)
    assert [path.parent.name for path in kept(tmp_path)] == ["a", "b"]


def test_a_picture_that_was_being_written_when_the_watcher_was_killed_goes_too(tmp_path: Path) -> None:
    rest = tmp_path / "a" / "1000.part"
    rest.parent.mkdir()
    rest.write_bytes(b"half a face")
    store(tmp_path, keep="60s").forget_before(time.time())
    assert not rest.exists()


@pytest.mark.parametrize("name", ["other.jpg", "12.png"])
def test_files_of_others_stay(tmp_path: Path, name: str) -> None:
    other = tmp_path / "a" / name
    other.parent.mkdir()
    other.write_bytes(b"mine")
    store(tmp_path, keep="60s").forget_before(time.time())
    assert other.exists()


def test_a_clock_that_was_ahead_and_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, now, ahead = store(tmp_path, keep="3m", every="10s"), time.time(), time.time() + 365 * 86400
    monkeypatch.setattr(time, "time", lambda: ahead)
    pictures.keep("a", ahead, PHOTO.read_bytes())
    assert len(kept(tmp_path)) == 1
    started, passed = time.monotonic(), 0.0
    monkeypatch.setattr(time, "monotonic", lambda: started + passed)
    monkeypatch.setattr(time, "time", lambda: now + passed)
    for ahead_are_kept in (1, 1, 1, 0, 0):  # until it was seen for three minutes
        passed += 61
        pictures.keep("b", now + passed, PHOTO.read_bytes())
        assert sum(path.parent.name == "a" for path in kept(tmp_path)) == ahead_are_kept


def test_a_clock_that_is_behind_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    store(tmp_path, keep="1h").keep("a", now, PHOTO.read_bytes())
    monkeypatch.setattr(time, "time", lambda: 1000.0)  # a machine without one of its own starts
    pictures = store(tmp_path, keep="1h")
    pictures.keep("a", 1000.0, PHOTO.read_bytes())
    minute = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: minute)
    monkeypatch.setattr(time, "time", lambda: now + 61)  # and has asked for it
    pictures.keep("a", now + 61, PHOTO.read_bytes())
    assert [path.stem for path in kept(tmp_path)] == [str(round(at * 1000)) for at in (now, now + 61)]
