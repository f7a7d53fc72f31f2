"""`count --overlay` never writes in the place of a photo, whatever path leads there; it refuses before counting."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crowdserve.cli.app import app
from crowdserve.cli.overlays import name_overlays, write_overlay
from crowdserve.errors import SetupError, TritonFailed
from tests.support.photos import gray_photo

PNG = gray_photo(7, 8, 8)
OLDER_PNG = gray_photo(9, 8, 8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the call, with a photo in a folder."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in ("a.png", "b.png", "c.jpg"):
        Path("photos", name).write_bytes(PNG)
    return tmp_path


def hard_link(target: str, link: str) -> None:
    os.link(target, link)


def soft_link(target: str, link: str) -> None:
    Path(link).symlink_to(Path(target).resolve())


def no_link(target: str, link: str) -> None:
    pass


@pytest.mark.parametrize(
    ("photos", "overlay", "link", "paths"),
    [
        (["photos/a.png"], "photos/a.png", no_link, ()),
        (["photos/a.png"], "photos/../photos/a.png", no_link, ()),
        (["photos/c.jpg"], "c.png", soft_link, ("photos/c.jpg", "c.png")),
        (["photos/c.jpg"], "c.png", hard_link, ("photos/c.jpg", "c.png")),
        (["link.png"], "photos/a.png", soft_link, ("photos/a.png", "link.png")),
        (["photos/a.png"], "elsewhere/a.png", soft_link, ("photos", "elsewhere")),
        (["photos/c.jpg", "out/c.overlay.png"], "out", hard_link, ("photos/b.png", "out/c.overlay.png")),
        (["photos/c.jpg", "photos/b.png"], "out", hard_link, ("photos/b.png", "out/c.overlay.png")),
        (["photos/c.jpg"], "out", soft_link, ("photos/c.jpg", "out/c.overlay.png")),
    ],
)
def test_no_path_to_a_photo_is_an_overlay(
    photos: list[str], overlay: str, link: Callable[[str, str], None], paths: tuple[str, ...]
) -> None:
    Path("out").mkdir()
    link(*(paths or ("", "")))
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    found = CliRunner().invoke(app, ["count", *photos, "--overlay", overlay, "--url", "http://127.0.0.1:9"])
    assert isinstance(found.exception, SetupError)
    assert "would overwrite the photo" in str(found.exception)  # and not that no service answers there
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def make_pipe() -> None:
    os.mkfifo("out.png")


def link_overlays_together() -> None:
    Path("out").mkdir()
    Path("out/a.overlay.png").symlink_to("b.overlay.png")


@pytest.mark.parametrize(
    ("overlay", "prepare", "reason"),
    [
        ("notes.txt", lambda: Path("notes.txt").write_text("mine"), "must end in .png, or be a folder"),
        ("photos/c.jpg", lambda: None, "must end in .png, or be a folder"),
        ("/dev/null", lambda: None, "must end in .png, or be a folder"),
        ("out.png", make_pipe, "is no file"),
        ("missing/out.png", lambda: None, "missing is no folder to write in"),
        ("photos/a.png/out.png", lambda: None, "a.png is no folder to write in"),
        ("out", link_overlays_together, "lead to one file by a link"),
        ("photos/a.png", lambda: None, "must be a folder for 2 photos"),
    ],
)
def test_what_cannot_be_an_overlay_is_said_before_counting(
    overlay: str, prepare: Callable[[], object], reason: str
) -> None:
    prepare()
    several = ("folder" in reason and "2 photos" in reason) or overlay == "out"
    photos = [Path("photos/a.png"), Path("photos/b.png")] if several else [Path("photos/a.png")]
    with pytest.raises(SetupError, match=reason):
        name_overlays(photos, Path(overlay))


def test_every_photo_has_an_overlay_of_its_own() -> None:
    photos = [Path("x/a.png"), Path("y/a.png"), Path("z/a-1.png"), Path("A.jpg"), Path("a-2.jpg"), Path("b.png")]
    targets = name_overlays(photos, Path("out"))
    names = [target.name.casefold() for target in targets if target]
    assert len(set(names)) == len(photos)
    assert names[2:] == ["a-1.overlay.png", names[3], "a-2.overlay.png", "b.overlay.png"]


def test_an_overlay_is_written_whole_or_not_at_all(folder: Path) -> None:
    target = Path("over.png")
    target.write_bytes(OLDER_PNG)
    target.chmod(0o640)
    for answer in (None, b"", b"<html>", PNG[1:]):
        with pytest.raises(TritonFailed, match="no PNG overlay"):
            write_overlay(target, answer)
    assert target.read_bytes() == OLDER_PNG
    write_overlay(target, PNG)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (PNG, 0o640)
    with pytest.raises(OSError, match="directory"):
        write_overlay(Path("photos"), PNG)
    assert {path.name for path in folder.iterdir()} == {"photos", "over.png"}  # nothing half-written


def test_a_link_made_after_the_check_does_not_lead_into_a_photo() -> None:
    os.link("photos/c.jpg", "late.png")
    write_overlay(Path("late.png"), OLDER_PNG)
    assert Path("late.png").read_bytes() == OLDER_PNG
    assert Path("photos/c.jpg").read_bytes() == PNG


def test_a_link_to_an_overlay_stays_a_link() -> None:
    Path("real.png").write_bytes(OLDER_PNG)
    Path("link.png").symlink_to("real.png")
    write_overlay(Path("link.png"), PNG)
    assert Path("link.png").is_symlink()
    assert Path("real.png").read_bytes() == PNG
