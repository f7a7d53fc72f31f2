import socket
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import av
import pytest

from crowdserve.live.errors import SourceEnded, SourceLost
from crowdserve.live.frames import Frame, small_grey
from crowdserve.live.sources import open_source, video
from tests.support.clips import write_clip
from tests.support.odd_servers import behaving


def brightness(frame: Frame) -> float:
    return float(small_grey(frame.jpeg()).mean())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    write_clip(path, frames=8, rate=25)
    return path


def test_a_file_is_played_at_its_pace_to_its_end(clip: Path) -> None:
    frames: list[Frame] = []
    started = time.monotonic()
    with pytest.raises(SourceEnded, match="it has been played"):
        frames.extend(open_source(str(clip), 5))  # what came before the error stays
    assert time.monotonic() - started >= 7 / 25
    assert [frame.number for frame in frames] == list(range(8))
    found = [brightness(frame) for frame in frames]
    assert found == pytest.approx([40 + 2 * number for number in range(8)], abs=3)


def test_a_file_in_a_loop(clip: Path) -> None:
    frames = list(islice(open_source(str(clip), 5, loop=True), 12))
    assert [frame.number for frame in frames] == list(range(12))
    assert brightness(frames[8]) == pytest.approx(brightness(frames[0]), abs=1)


@pytest.mark.parametrize("times", [range(93_600, 93_606), [0, 1, 2, 90_000, 90_001, 90_002]])
def test_a_recording_whose_clock_begins_anywhere_or_jumps(times: Sequence[int], tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mkv", frames=6, rate=20, times=[at * 20 if at > 80_000 else at for at in times])
    started, frames = time.monotonic(), []
    with pytest.raises(SourceEnded):
        frames.extend(open_source(str(tmp_path / "clip.mkv"), 5, pause=lambda seconds: time.sleep(min(seconds, 3))))
    assert len(frames) == 6
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("name", ["12:30.mp4", "data:x.mp4", "a b ü%d.mp4", "~x.mp4"])
def test_names_that_look_like_something_else(clip: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clip.rename(clip.with_name(name))
    monkeypatch.chdir(clip.parent)
    assert next(open_source(name, 5)).number == 0


def test_a_home_and_a_url_of_a_file(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip.rename(clip.with_name("a clip.mp4"))
    monkeypatch.setenv("HOME", str(clip.parent))
    for address in ("~/a clip.mp4", f"file://{clip.parent}/a%20clip.mp4"):
        assert next(open_source(address, 5)).number == 0


def test_packets_that_are_damaged_are_left_out(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mkv", frames=10, rate=100, codec="libvpx")
    content = bytearray((tmp_path / "clip.mkv").read_bytes())
    for at in range(len(content) // 3, len(content) // 2, 50):
        content[at : at + 8] = b"\xff" * 8
    (tmp_path / "clip.mkv").write_bytes(content)
    frames: list[Frame] = []
    with pytest.raises(SourceEnded, match="it has been played"):
        frames.extend(open_source(str(tmp_path / "clip.mkv"), 5))
    assert 3 <= len(frames) <= 10


def test_large_frames_are_scaled_down(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "large.mp4"
    write_clip(path, frames=1, size=(2560, 1440))
    frame = next(open_source(str(path), 5))
    (tmp_path / "frame.jpg").write_bytes(frame.jpeg())
    with Image.open(tmp_path / "frame.jpg") as picture:
        assert picture.size == (2048, 1152)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_hls(tmp_path: Path, served: str) -> None:
    write_clip(tmp_path / "list.m3u8", frames=20)
    frame = next(open_source(f"{served}/list.m3u8", 5))
    assert brightness(frame) == pytest.approx(40, abs=3)


@pytest.mark.parametrize("name", ["list.m3u8", "clip.mp4", "clip.mkv"])
def test_a_recording_of_a_web_server_is_played_once_at_its_pace(name: str, tmp_path: Path, served: str) -> None:
    write_clip(tmp_path / name, frames=8, rate=25)
    frames: list[Frame] = []
    started = time.monotonic()
    with pytest.raises(SourceEnded, match="it has been played"):
        frames.extend(open_source(f"{served}/{name}", 5))
    assert len(frames) == 8
    assert time.monotonic() - started >= 7 / 25


def test_a_playlist_from_the_network_opens_no_file_of_this_machine(tmp_path: Path, served: str) -> None:
    secret = tmp_path / "elsewhere.ts"
    write_clip(secret, frames=4)
    (tmp_path / "evil.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(SourceLost):
        next(open_source(f"{served}/evil.m3u8", 5))


@pytest.mark.parametrize(("keyframe_every", "every", "expected"), [(5, 60, [0, 5, 10, 15]), (1000, 0, list(range(20)))])
def test_of_a_stream_only_keyframes_are_decoded_where_they_come_often(
    tmp_path: Path, served: str, keyframe_every: int, every: float, expected: list[int]
) -> None:
    write_clip(tmp_path / "stream.ts", frames=20, keyframe_every=keyframe_every)
    frames: list[Frame] = []
    with pytest.raises(SourceLost, match="the stream has ended"):
        frames.extend(open_source(f"{served}/stream.ts", every))
    found = [round((brightness(frame) - 40) / 2) for frame in frames]
    assert found == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_files_that_are_no_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceLost):
        next(open_source(str(path), 5))


def test_an_address_where_nobody_is() -> None:
    with pytest.raises(SourceLost) as caught:
        next(open_source("rtsp://user:secret@127.0.0.1:1/live", 5))
    assert "secret" not in str(caught.value)


def asked(monkeypatch: pytest.MonkeyPatch, address: str, *refusals: Exception) -> list[tuple[str | None, str | None]]:
    """The format and the transport of each time that an address is opened, when FFmpeg refuses the first ones."""
    import av

    found: list[tuple[str | None, str | None]] = []

    def opened(name: str, options: dict[str, str], format: str | None = None, **_: object) -> None:
        found.append((format, options.get("rtsp_transport")))
        raise refusals[len(found) - 1] if len(found) <= len(refusals) else OSError("nothing there")

    monkeypatch.setattr(av, "open", opened)
    with pytest.raises(SourceLost):
        next(open_source(address, 5))
    return found


def test_rtsp_goes_over_tcp_and_over_udp_where_a_camera_refuses_that(monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    unsupported = av.HTTPOtherClientError(0, "461 Unsupported transport")
    wrong_password = av.HTTPUnauthorizedError(0, "401 Unauthorized")
    assert asked(monkeypatch, "rtsp://h/x") == [(None, "tcp")]
    assert asked(monkeypatch, "rtsp://h/x", unsupported) == [(None, "tcp"), (None, "udp")]
    assert asked(monkeypatch, "rtsp://h/x", wrong_password) == [(None, "tcp")]  # which a camera may count


def test_a_device_is_opened_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceLost, match=r"is no device of that kind|does not take what is asked of it"):
        next(open_source("/dev/null", 5))  # by FFmpeg's own reader of such devices, which has no other here
    assert asked(monkeypatch, "/dev/null") == [("v4l2", None)]


def test_sound_that_goes_on_without_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with av.open(str(tmp_path / "clip.ts"), "w") as container:
        picture, sound = container.add_stream("libx264", rate=10), container.add_stream("mp2", rate=16000)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            container.mux(picture.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(picture.encode())
        for number in range(2000):
            silence = av.AudioFrame("s16", "mono", 1152)
            silence.sample_rate, silence.pts = 16_000, number * 1152
            container.mux(sound.encode(silence))
    content = (tmp_path / "clip.ts").read_bytes()
    pieces = [content[at : at + 1880] for at in range(0, len(content), 1880)]

    def play(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"".join(pieces[:-100]))
        for piece in pieces[-100:]:
            connection.sendall(piece)
            time.sleep(0.05)

    monkeypatch.setattr(video, "PICTURE_SECONDS", 0.4)
    with behaving(play) as address, pytest.raises(SourceLost, match=r"takes over 0\.5 s for a picture"):
        list(video.video_frames(f"http://{address}/clip.ts", 0.1))
