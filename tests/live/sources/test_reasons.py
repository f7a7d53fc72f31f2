"""Why a camera is lost, as a page says it: plain words, and nothing of the address, the library or the system."""

import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from crowdserve.live.errors import SourceLost
from crowdserve.live.sources import limits, open_source, video
from tests.support.odd_servers import behaving

PASSWORD = "never-to-be-seen"
INTERNAL = re.compile(r"errno|\bError|Exception|Timeout|httpx|libav|ffmpeg\.|0x|<|never-to-be-seen|user", re.IGNORECASE)


def reset(connection: socket.socket) -> None:
    connection.recv(10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says(text: bytes) -> Callable[[socket.socket], None]:
    def say(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(text)

    return say


def silent(connection: socket.socket) -> None:
    connection.settimeout(1)
    while connection.recv(10_000):
        pass


def reason(address: str) -> str:
    with pytest.raises(SourceLost) as found:
        next(open_source(address, 0.01))
    text = str(found.value)
    assert not INTERNAL.search(text.replace("user and password", "")), text
    return text


ANSWERS = [
    ("http", reset, "ended the connection"),
    ("https", says(b""), "ends the encrypted connection"),
    ("https", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak TLS"),
    ("http", says(b"SSH-2.0-OpenSSH\r\n"), "does not speak HTTP"),
    ("http", says(b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\n\r\n"), "redirects to another address"),
    ("http", says(b"HTTP/1.1 503 <b>Busy</b>\r\n\r\n"), "overloaded, or being started (HTTP 503)"),
    ("http", says(b"HTTP/1.1 599 Own\r\n\r\n"), "fault of its own (HTTP 599)"),
    ("http", says(b"HTTP/1.1 418 Teapot\r\n\r\n"), "not give what was asked for (HTTP 418)"),
    ("http", says(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x\r\n\r\n"), "names no boundary"),
    (
        "http",
        says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: image/x\r\n\r\nno gzip"),
        "damaged",
    ),
    ("http", says(b"HTTP/1.1 302 Found\r\nLocation: //evil/x\r\n\r\n"), "redirects to another address"),
    ("http", says(b"HTTP/1.1 302 Found\r\nLocation: /stream\r\n\r\n"), "redirects again and again"),
    (
        "http",
        says(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html>"),
        "with a page, perhaps of its login",
    ),
    ("http", says(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n<html>"), "with a page, perhaps of its login"),
    ("http", says(b"HTTP/1.1 200 OK\r\nContent-Type: image/svg+xml\r\n\r\n<svg/>"), "a picture of a kind that is not"),
    ("http", says(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 0\r\n\r\n"), "answer is empty"),
    ("http", silent, "silent for too long"),
    ("rtsp", reset, "the camera"),
    ("rtsp", says(b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n\r\n"), "refuses user and password, or asks for them"),
    ("rtsp", says(b"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n"), "has nothing at this path"),
    ("rtsp", silent, "silent for too long"),
]


@pytest.mark.parametrize(("scheme", "behave", "expected"), ANSWERS)
def test_cameras_that_answer_otherwise(
    scheme: str, behave: Callable[[socket.socket], None], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if behave is silent:  # who answers, if late on a busy machine, is not to be taken for silent
        for name in ("_OPEN_SECONDS", "_READ_SECONDS"):
            monkeypatch.setattr(video, name, 0.3)
        monkeypatch.setattr(limits, "_TIMEOUT", 0.3)
    with behaving(behave) as address:
        assert expected in reason(f"{scheme}://user:{PASSWORD}@{address}/stream")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://user:never-to-be-seen@127.0.0.1:1/", "refuses the connection, as nothing listens at that port"),
        ("rtsp://user:never-to-be-seen@127.0.0.1:1/", "refuses the connection, as nothing listens at that port"),
        ("rtmp://user:never-to-be-seen@127.0.0.1:1/", "refuses the connection, as nothing listens at that port"),
        ("http://user:never-to-be-seen@nobody.invalid/", "name is not known here"),
        ("rtsp://user:never-to-be-seen@nobody.invalid/", "name is not known here"),
        ("http://user:never-to-be-seen@[nobody/", "URL cannot be read"),
        ("http://user:never-to-be-seen@host:port/", "URL cannot be read"),
        ("ftp://user:never-to-be-seen@host/x", "no known protocol; expected http://, https://, rtsp://"),
        ("rtsp://", "URL cannot be read; expected one such as rtsp://HOST:PORT/PATH"),
        ("rtsp://user:never-to-be-seen/x@host/y", "in a password %2F for /"),
        (" rtsp://user:never-to-be-seen@host/y\n", "blanks around it"),
        ("RTSP://user:never-to-be-seen@127.0.0.1:1/", "refuses the connection, as nothing listens at that port"),
        ("0", "no such file, folder or device"),
        ("/dev/null", "is no device of that kind"),
    ],
)
def test_addresses_of_nobody(address: str, expected: str) -> None:
    told = reason(address)
    assert expected in told or (".invalid" in address and "no name server answers" in told)  # of a machine without one


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("no video")
    assert reason(str(tmp_path / "clip.mp4")) == "the source sends no video that can be decoded"


def test_a_file_that_is_missing_is_not_named(tmp_path: Path) -> None:
    assert str(tmp_path) not in reason(str(tmp_path / "clip.mp4"))
