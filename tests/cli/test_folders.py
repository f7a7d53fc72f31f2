"""`crowdserve count` of folders, patterns and videos: what is taken, what is said, and how it ends."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from crowdserve.cli.app import app
from crowdserve.cli.photos import Verdict, select_photos
from crowdserve.errors import SetupError
from crowdserve.local.service import EmbeddedService
from tests.support.photos import expected_count, gray_photo

PHOTO = gray_photo()
MP4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(64)
RAW = b"FUJIFILMCCD-RAW 0201" + bytes(200)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the call."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*paths: str, content: bytes = PHOTO) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content)


def photos(*arguments: str) -> list[str]:
    return [path.as_posix() for path in select_photos(list(map(Path, arguments))).photos]


def refused(*arguments: str) -> dict[str, str]:
    meant = select_photos(list(map(Path, arguments))).meant
    return {each.path.as_posix(): each.reason for each in meant if each.verdict is Verdict.REFUSED}


def tree() -> None:
    write("in/b.png", "in/a.JPG", "in/deep/er/c.jpeg", "in/no suffix", "in/z.webp")


def hidden() -> None:
    write("in/a.png", "in/.b.png", "in/.thumbnails/c.png", "in/._a.png")


def of_others() -> None:
    write("in/a.png", "in/b.overlay.png")
    write("in/notes.txt", "in/labels.json", content=b"{}")
    write("in/Thumbs.db", content=b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100))


def link_to_itself() -> None:
    write("in/a.png", "in/deep/b.png")
    Path("in/deep/up").symlink_to("..")
    Path("in/again").symlink_to("deep")


def link_elsewhere() -> None:
    write("in/a.png", "out/b.png")
    Path("in/linked").symlink_to("../out")
    Path("in/c.png").symlink_to("../out/b.png")


def two_links_to_one() -> None:
    write("in/a.png", "out/b.png")
    Path("in/first").symlink_to("../out")
    Path("in/second").symlink_to("../out")


def called_like_photos() -> None:
    write("in/broken.jpg", content=b"junk")
    write("in/empty.png", content=b"")
    write("in/photo.dat")


TREES: dict[str, tuple[Callable[[], None], list[str]]] = {
    "in the order of names, whatever they end in": (
        tree,
        ["in/a.JPG", "in/b.png", "in/no suffix", "in/z.webp", "in/deep/er/c.jpeg"],
    ),
    "no hidden files or folders": (hidden, ["in/a.png"]),
    "no other files, and no overlays": (of_others, ["in/a.png"]),
    "a loop of links once": (link_to_itself, ["in/a.png", "in/again/b.png"]),
    "through links": (link_elsewhere, ["in/a.png", "in/c.png", "in/linked/b.png"]),
    "a folder with two names once": (two_links_to_one, ["in/a.png", "in/first/b.png"]),
    "broken ones too, for the service to explain": (
        called_like_photos,
        ["in/broken.jpg", "in/empty.png", "in/photo.dat"],
    ),
}


@pytest.mark.parametrize("name", TREES)
def test_folder_stands_for_its_photos(name: str) -> None:
    make, expected = TREES[name]
    make()
    assert photos("in") == expected
    assert refused("in") == {}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/*.png", ["in/b.png"]),
        ("in/?.*", ["in/a.JPG", "in/b.png", "in/z.webp"]),
        ("in/**/*.jp*g", ["in/deep/er/c.jpeg"]),
        ("in/d*", ["in/deep/er/c.jpeg"]),
        ("in/**", ["in/a.JPG", "in/b.png", "in/no suffix", "in/z.webp", "in/deep/er/c.jpeg"]),
        ("in/[ab].*", ["in/a.JPG", "in/b.png"]),
    ],
)
def test_pattern_that_the_shell_left(pattern: str, expected: list[str]) -> None:
    tree()
    assert photos(pattern) == expected


def test_file_that_is_called_like_a_pattern() -> None:
    write("photo[1].png")
    assert photos("photo[1].png") == ["photo[1].png"]


def test_arguments_keep_their_order_and_a_named_file_is_taken_as_it_is() -> None:
    write("in/b.png", ".hidden.png", "a.png")
    write("page", content=b"<html>")
    assert photos("page", "in", ".hidden.png", "a.png") == ["page", "in/b.png", ".hidden.png", "a.png"]


def test_missing_file_and_pattern_without_a_match_are_refused() -> None:
    Path("dangling.png").symlink_to("nowhere")
    assert refused("none.png", "none*.png", "dangling.png") == {
        "none.png": "No such file or directory",
        "none*.png": "no file matches",
        "dangling.png": "No such file or directory",
    }


def test_pipe_in_a_folder_is_not_waited_for() -> None:
    write("in/a.png")
    os.mkfifo("in/pipe")
    selection = select_photos([Path("in")])
    assert (len(selection.photos), selection.others) == (1, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_may_not_be_read_is_refused() -> None:
    write("in/a.png", "in/shut/b.png")
    Path("in/shut").chmod(0)
    try:
        assert (photos("in"), refused("in")) == (["in/a.png"], {"in/shut": "Permission denied"})
    finally:
        Path("in/shut").chmod(0o755)


def test_folder_that_goes_away_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    write("in/a.png", "in/gone/b.png")
    scan = os.scandir

    def failing(path: str) -> object:
        if str(path).endswith("gone"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", failing)
    assert (photos("in"), refused("in")) == (["in/a.png"], {"in/gone": "Permission denied"})


VIDEOS = {
    "clip.mp4": MP4,
    "clip.mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(64),
    "clip.avi": b"RIFF\x24\0\0\0AVI LIST" + bytes(64),
    "clip.mkv": b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska" + bytes(64),
    "clip.webm": b"\x1a\x45\xdf\xa3\x93\x42\x82\x84webm" + bytes(64),
    "clip.ts": (b"G" + bytes(187)) * 3,
    "called.jpg": MP4,
}


@pytest.mark.parametrize("name", VIDEOS)
def test_video_says_how_it_is_counted(name: str) -> None:
    write(name, content=VIDEOS[name])
    (reason,) = refused(name).values()
    assert reason.startswith("this is a")
    assert "video" in reason
    assert reason.endswith(f"ffmpeg -i {name} -vf fps=1 frames/%06d.jpg; crowdserve count frames")


def test_raw_file_of_a_camera_says_what_to_do() -> None:
    write("photo.raf", content=RAW)
    assert refused("photo.raf") == {"photo.raf": "this is a camera raw file (Fujifilm RAF): export it as JPEG"}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["count", *arguments], env={"COLUMNS": "400", "NO_COLOR": "1"})


def test_folder_without_photos_is_an_error() -> None:
    write("in/clip.mp4", content=MP4)
    write("in/notes.txt", content=b"notes")
    result = run("in", "--url", "http://127.0.0.1:9")
    assert isinstance(result.exception, SetupError)
    first, video = str(result.exception).split("\n")
    assert first == "no photos in in, among 1 other files; name a folder with some"
    assert video.startswith("in/clip.mp4: an MP4 video: extract frames")


@pytest.mark.parametrize("url", ["rtsp://camera/1", "https://example.com/a.jpg?size=2", "s3://bucket/a.jpg"])
def test_url_says_how_it_is_counted(url: str) -> None:
    selection = select_photos([Path(url)])
    (found,) = selection.meant
    assert selection.folders == ()
    assert found.verdict is Verdict.REFUSED
    assert "this is a URL" in found.reason
    assert "crowdserve watch URL" in found.reason


def test_video_alone_starts_no_service() -> None:
    write("clip.mp4", content=MP4)
    result = run("clip.mp4", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "clip.mp4: this is an MP4 video: count it over its time with crowdserve watch clip.mp4, or"
    )
    assert json.loads(run("clip.mp4", "--json", "--url", "http://127.0.0.1:9").stdout)["photo"] == "clip.mp4"


@pytest.mark.e2e
def test_summary_names_what_was_not_counted(small_service: EmbeddedService) -> None:
    write("in/a.png", "in/deep/b.png")
    write("in/broken.jpg", content=b"junk")
    write("in/clip.mp4", content=MP4)
    write("in/notes.txt", content=b"notes")
    result = run("in", "--json", "--url", small_service.http_url)
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["photo"] for line in lines] == ["in/a.png", "in/broken.jpg", "in/deep/b.png"]
    assert ["count" in line for line in lines] == [True, False, True]
    first, broken, clip = result.stderr.splitlines()
    assert first == f"2 photos counted, {2 * expected_count():,.1f} people; 1 not counted; 1 other file passed over"
    assert broken.startswith("  in/broken.jpg: ")
    assert clip.startswith("  in/clip.mp4: an MP4 video: extract frames")
    Path("in/broken.jpg").unlink()
    table = run("in", "--url", small_service.http_url)
    assert table.exit_code == 0  # a video in a folder was not meant as a photo
    assert [line.split()[0] for line in table.stdout.splitlines()] == ["photo", "in/a.png", "in/deep/b.png"]


@pytest.mark.e2e
def test_overlays_of_a_folder_are_not_counted_the_next_time(small_service: EmbeddedService) -> None:
    write("in/a.png", "in/deep/a.png")
    for _ in range(2):
        result = run("in", "--overlay", "in/out", "--json", "--url", small_service.http_url)
        assert result.exit_code == 0
        found = [Path(json.loads(line)["overlay"]).name for line in result.stdout.splitlines()]
        assert found == ["a-1.overlay.png", "a-2.overlay.png"]


@pytest.mark.e2e
def test_bar_of_a_terminal_leaves_stdout_alone(small_service: EmbeddedService) -> None:
    write("in/a.png", "in/b.png")
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "crowdserve", "count", "in", "--json", "--url", small_service.http_url]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=end, env=env, timeout=120, text=True)
    os.close(end)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert [json.loads(line)["photo"] for line in done.stdout.splitlines()] == ["in/a.png", "in/b.png"]
    assert "counting in/b.png" in shown  # the first may be counted before the bar is drawn
    assert "1/2" in shown
