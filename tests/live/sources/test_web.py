import io
import socket
import time
from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace

import pytest
from PIL import Image

from crowdserve.live.errors import SourceLost
from crowdserve.live.frames import small_grey
from crowdserve.live.sources import limits, open_source
from tests.support.cameras import TestCamera, noisy_jpeg, running_camera
from tests.support.odd_servers import behaving, dripping

PICTURE = noisy_jpeg(60, 60)


@pytest.fixture
def camera() -> Iterator[TestCamera]:
    with running_camera() as running:
        yield running


@pytest.mark.parametrize("with_lengths", [True, False])
def test_mjpeg(camera: TestCamera, with_lengths: bool) -> None:
    camera.with_lengths = with_lengths
    frames = list(islice(open_source(f"{camera.url}/stream", 5), 3))
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert len({frame.jpeg() for frame in frames}) == 3
    assert small_grey(frames[0].jpeg()).shape == (180, 320)


def test_snapshots_are_asked_for_as_often_as_they_are_counted(camera: TestCamera) -> None:
    first, *_, last = islice(open_source(f"{camera.url}/snapshot", 0.1), 4)
    assert 0.3 <= last.at - first.at < 1.5
    assert camera.asked == ["/snapshot"] * 4


@pytest.mark.parametrize("path", ["stream", "snapshot"])
def test_a_camera_that_asks_for_a_password(camera: TestCamera, path: str) -> None:
    camera.password = "p@ss/word"
    address = camera.url.replace("http://", "http://user:p%40ss%2Fword@")
    assert next(open_source(f"{address}/{path}", 0.1)).number == 0
    with pytest.raises(SourceLost, match=r"the camera refuses user and password, or asks for them \(HTTP 401\)"):
        next(open_source(f"{camera.url}/{path}", 0.1))


def test_a_camera_that_is_not_there(camera: TestCamera) -> None:
    with pytest.raises(SourceLost, match=r"the camera has nothing at this path \(HTTP 404\)"):
        next(open_source(f"{camera.url}/nothing", 5))


def test_a_stream_that_is_cut(camera: TestCamera) -> None:
    frames = open_source(f"{camera.url}/stream", 5)
    next(frames)
    camera.cut = True
    with pytest.raises(SourceLost):
        list(frames)


def answering(kind: str | None, body: bytes) -> Callable[[socket.socket], None]:
    head = f"HTTP/1.0 200 OK\r\n{f'Content-Type: {kind}' if kind else 'X-None: 1'}\r\n\r\n"

    def answer(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(head.encode() + body)

    return answer


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, format="PNG")
    return file.getvalue()


PARTS = b"".join(b"--x\r\n\r\n" + noisy_jpeg(60, number) + b"\r\n" for number in (60, 200)) + b"--x--\r\n"


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", None, "text/plain", "text/html", "video/jpeg", "image/jpg"]
)
@pytest.mark.parametrize("picture", [noisy_jpeg(60, 60), png()], ids=["jpeg", "png"])
def test_first_bytes_say_what_a_snapshot_is(kind: str | None, picture: bytes) -> None:
    with behaving(answering(kind, picture)) as address:
        frames = list(islice(open_source(f"http://{address}/", 0.02), 3))
    assert [frame.jpeg() for frame in frames] == [picture] * 3


@pytest.mark.parametrize("kind", ["application/octet-stream", None, "multipart/x-mixed-replace", "image/jpeg"])
@pytest.mark.parametrize("body", [PARTS, noisy_jpeg(60, 60) + noisy_jpeg(60, 200)], ids=["parts", "files"])
def test_first_bytes_say_what_a_stream_is(kind: str | None, body: bytes) -> None:
    if kind == "multipart/x-mixed-replace" and body is not PARTS:
        return
    found = []
    with behaving(answering(kind, body)) as address, pytest.raises(SourceLost, match="the stream has ended"):
        found.extend(frame.jpeg() for frame in open_source(f"http://{address}/", 0.02))
    assert found == [noisy_jpeg(60, 60), noisy_jpeg(60, 200)]


def test_a_redirect_on_the_same_host_keeps_the_password() -> None:
    asked: list[bytes] = []

    def redirect(connection: socket.socket) -> None:
        asked.append(connection.recv(10_000))
        if b"GET /now" not in asked[-1]:
            connection.sendall(b"HTTP/1.0 302 Found\r\nLocation: /now.jpg\r\n\r\n")
        elif b"Authorization: Basic" not in asked[-1]:
            connection.sendall(b'HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\n\r\n')
        else:
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE)

    with behaving(redirect) as address:
        frames = list(islice(open_source(f"http://user:secret@{address}/", 0.02), 2))
    assert [frame.jpeg() for frame in frames] == [PICTURE] * 2


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"HTTP/1.0 200 OK\r\nX: ",
        b"HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n\xff\xd8\xff",
        b"HTTP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\n" + PICTURE[:-9],
        b"HTTP/1.0 200 OK\r\n\r\n--x\r\n\r\n\xff\xd8\xff",
        b"HTTP/1.0 200 OK\r\n\r\n--x\r\n" + b"a" * 600,
    ],
)
def test_an_answer_that_comes_byte_by_byte_is_given_up(begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PICTURE_SECONDS", 0.2)
    with behaving(dripping(begin)) as address, pytest.raises(SourceLost, match=r"takes over 0.2 s for a picture"):
        next(open_source(f"http://user:secret@{address}/", 0.02))


def test_redirects_take_part_in_the_time_of_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def redirect(connection: socket.socket) -> None:
        connection.recv(10_000)
        time.sleep(0.1)
        connection.sendall(b"HTTP/1.0 302 Found\r\nLocation: /again\r\n\r\n")

    monkeypatch.setattr(limits, "PICTURE_SECONDS", 0.25)
    with behaving(redirect) as address, pytest.raises(SourceLost, match=r"takes over 0.25 s for a picture"):
        next(open_source(f"http://{address}/", 0.02))


def test_the_time_begins_anew_with_each_picture(camera: TestCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0.0
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed))
    for path in ("stream", "snapshot"):
        taken = []
        for frame in islice(open_source(f"{camera.url}/{path}", 0.1), 3):
            taken.append(frame.number)
            passed += 100  # a picture is taken when it is asked for
        assert taken == [0, 1, 2]


def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer_once(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE)
        connection.recv(10_000)  # a firewall has forgotten it: no answer comes, and no end

    monkeypatch.setattr(limits, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr(limits, "_TIMEOUT", 5.0)
    with behaving(answer_once) as address:
        frames = list(islice(open_source(f"http://{address}/", 0.2), 2))
    assert [frame.number for frame in frames] == [0, 1]
