"""Videos over TLS: whose certificate is looked at, and what FFmpeg asks of files that it does not open itself."""

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from crowdserve.certificates import CA_FILE
from crowdserve.live.errors import SourceEnded, SourceLost
from crowdserve.live.frames import Frame
from crowdserve.live.sources import open_source, video
from tests.support.certificates import Authority
from tests.support.clips import write_clip
from tests.support.odd_servers import behaving, dripping
from tests.support.tls import tls_in_front_of

UNKNOWN = "the camera's certificate is of an authority that is not known here"
LOGIN = "user:secret@"


class Handler(SimpleHTTPRequestHandler):
    """Files, and parts of them, for who has the password if there is one."""

    asked: list[str]
    logins: list[str | None]
    password: str | None

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.logins.append(self.headers["authorization"])
        if self.password and self.headers["authorization"] != self.password:
            self.send_response(401)
            self.send_header("www-authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        file = Path(self.directory, self.path[1:])
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["range"] or "")
        if part is None or not file.is_file():
            super().do_GET()
            return
        content = file.read_bytes()
        content = content[int(part[1]) : int(part[2] or len(content)) + 1]
        self.send_response(206)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self) -> None:
        self.send_header("accept-ranges", "bytes")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Site:
    """A server with TLS.

    Attributes:
        folder: Its files.
        url: Where they are.
        handler: What it is asked.
    """

    def __init__(self, folder: Path, url: str, handler: type[Handler]) -> None:
        self.folder, self.url, self.handler = folder, url, handler


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority(tmp_path)
    monkeypatch.setenv(CA_FILE, str(made.file))
    return made


def running(folder: Path, authority: Authority) -> Iterator[Site]:
    handler = type("Handler", (Handler,), {"asked": [], "logins": [], "password": None})
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with tls_in_front_of(f"127.0.0.1:{server.server_port}", authority.issue("127.0.0.1")) as url:
            yield Site(folder, url, handler)
        server.shutdown()


@pytest.fixture
def camera(tmp_path: Path, authority: Authority) -> Iterator[Site]:
    yield from running(tmp_path / "camera", authority)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Site]:
    """One whose authority nobody knows."""
    (tmp_path / "strange").mkdir()
    yield from running(tmp_path / "stranger", Authority(tmp_path / "strange"))


def played(url: str) -> int:
    frames: list[Frame] = []
    with pytest.raises(SourceEnded):
        frames.extend(open_source(url, 5, pause=lambda seconds: None))
    return len(frames)


def playlist(site: Site, *lines: str) -> None:
    head = ("#EXTM3U", "#EXT-X-VERSION:4", "#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:0")
    (site.folder / "list.m3u8").write_text("\n".join((*head, *lines, "#EXT-X-ENDLIST", "")))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8", "clip.mkv"])
def test_a_video_of_a_server_whose_authority_is_trusted(name: str, camera: Site) -> None:
    write_clip(camera.folder / name, frames=60, rate=30)
    assert played(f"{camera.url}/{name}") == 60


@pytest.mark.parametrize("scheme", ["https", "rtsps", "rtmps"])
def test_nothing_comes_from_a_server_whose_authority_is_not_trusted(
    scheme: str, stranger: Site, authority: Authority
) -> None:
    write_clip(stranger.folder / "clip.ts", frames=4)
    with pytest.raises(SourceLost, match=UNKNOWN):
        next(open_source(f"{stranger.url.replace('https', scheme)}/clip.ts", 5))
    assert not stranger.handler.asked


def test_a_certificate_of_another_name(tmp_path: Path, authority: Authority) -> None:
    with (
        tls_in_front_of("127.0.0.1:9", authority.issue("camera.example")) as url,
        pytest.raises(SourceLost, match="the camera's certificate is for another name"),
    ):
        next(open_source(url.replace("https", "rtsps"), 5))


def test_a_stream_over_tls_is_asked_for_where_the_authority_is_trusted(
    camera: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(camera.handler, "log_message", lambda self, text, *values: said.append(text % values))
    with pytest.raises(SourceLost):
        next(open_source(f"{camera.url.replace('https', 'rtsps')}/stream", 5))
    assert any("OPTIONS rtsp" in text for text in said)


def test_segments_of_a_server_whose_authority_is_not_trusted(camera: Site, stranger: Site) -> None:
    write_clip(stranger.folder / "clip.ts", frames=20)
    playlist(camera, "#EXTINF:2,", f"{stranger.url}/clip.ts")
    with pytest.raises(SourceLost, match=UNKNOWN):
        next(open_source(f"{camera.url}/list.m3u8", 5))
    assert not stranger.handler.asked


def test_a_playlist_opens_no_file_of_this_machine(camera: Site, tmp_path: Path) -> None:
    write_clip(tmp_path / "secret.ts", frames=4)
    playlist(camera, "#EXTINF:2,", f"file://{tmp_path}/secret.ts")
    with pytest.raises(SourceLost):
        next(open_source(f"{camera.url}/list.m3u8", 5))


def test_a_segment_that_is_missing_is_passed_over(camera: Site) -> None:
    write_clip(camera.folder / "clip.ts", frames=20)
    playlist(camera, "#EXTINF:2,", "gone.ts", "#EXTINF:2,", "clip.ts")
    assert played(f"{camera.url}/list.m3u8") == 20
    assert "/gone.ts" in camera.handler.asked


def test_segments_that_are_parts_of_a_file(camera: Site) -> None:
    write_clip(camera.folder / "clip.ts", frames=20)
    content = (camera.folder / "clip.ts").read_bytes()
    (camera.folder / "all.bin.ts").write_bytes(b"\xff" * 1000 + content + b"\xff" * 1000)
    playlist(camera, "#EXTINF:2,", f"#EXT-X-BYTERANGE:{len(content)}@1000", "all.bin.ts")
    assert played(f"{camera.url}/list.m3u8") == 20


def test_segments_that_are_encrypted(camera: Site) -> None:
    write_clip(camera.folder / "clip.ts", frames=20)
    key, vector = bytes(range(16)), bytes(range(16, 32))
    padder = PKCS7(128).padder()
    padded = padder.update((camera.folder / "clip.ts").read_bytes()) + padder.finalize()
    cipher = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    (camera.folder / "clip.ts").write_bytes(cipher.update(padded) + cipher.finalize())
    (camera.folder / "clip.key").write_bytes(key)
    playlist(camera, f'#EXT-X-KEY:METHOD=AES-128,URI="clip.key",IV=0x{vector.hex()}', "#EXTINF:2,", "clip.ts")
    assert played(f"{camera.url}/list.m3u8") == 20


def test_a_password_is_for_the_camera_alone(camera: Site, tmp_path: Path, authority: Authority) -> None:
    camera.handler.password = "Basic dXNlcjpzZWNyZXQ="
    for other in running(tmp_path / "other", authority):
        for site in (camera, other):
            write_clip(site.folder / "clip.ts", frames=20)
        playlist(camera, "#EXTINF:2,", "clip.ts", "#EXT-X-DISCONTINUITY", "#EXTINF:2,", f"{other.url}/clip.ts")
        assert played(f"{camera.url.replace('//', f'//{LOGIN}')}/list.m3u8") == 40
        assert other.handler.asked == ["/clip.ts"]
        assert other.handler.logins == [None]


@pytest.mark.parametrize("whole_bytes", [1000, 40_000], ids=["before the first picture", "after it"])
def test_a_video_that_comes_byte_by_byte_is_given_up(
    whole_bytes: int, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "clip.ts", frames=60)
    head = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"
    slow = dripping(head + (tmp_path / "clip.ts").read_bytes()[:whole_bytes])
    monkeypatch.setattr(video, "PICTURE_SECONDS", 0.4)
    with (
        behaving(slow) as address,
        tls_in_front_of(address, authority.issue("127.0.0.1")) as url,
        pytest.raises(SourceLost, match=r"takes over 0\.5 s for a picture"),
    ):
        list(video.video_frames(f"{url}/clip.ts", 0.1))
