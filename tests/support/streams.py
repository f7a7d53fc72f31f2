"""Streams of video for the slow tests: an RTSP server of Debian, MPEG-TS streams over HTTP at their own pace."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.free_ports import free_port
from tests.support.waiting import wait_for

RTSP_TOOLS = ("rtsp-server-perl", "ffmpeg")


def missing_tools() -> list[str]:
    """Which of the tools of `rtsp_stream` are not installed."""
    return [tool for tool in RTSP_TOOLS if shutil.which(tool) is None]


def listens(port: int) -> bool:
    """Whether a program takes connections at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def rtsp_stream(clip: Path) -> Iterator["RtspStream"]:
    """A clip, again and again, at an RTSP server on loopback."""
    stream = RtspStream(clip)
    try:
        yield stream
    finally:
        stream.cut()


class RtspStream:
    """An RTSP server, and an ffmpeg that publishes a clip there.

    Attributes:
        url: Where it is read.
    """

    def __init__(self, clip: Path) -> None:
        self._clip = clip
        self._ports = (free_port(), free_port())
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url = f"rtsp://127.0.0.1:{self._ports[0]}/camera"
        self.restore()

    def restore(self) -> None:
        """Start both."""
        read, published = map(str, self._ports)
        loopback = ("--client_listen_address", "127.0.0.1", "--source_listen_address", "127.0.0.1")
        server = ("rtsp-server-perl", "--clientport", read, "--serverport", published, *loopback, "--loglevel", "0")
        self._start(*server)
        for port in self._ports:
            wait_for(lambda port=port: listens(port))  # type: ignore[misc]
        target = f"rtsp://127.0.0.1:{published}/camera"
        looped = ("-re", "-stream_loop", "-1", "-i", str(self._clip))
        self._start("ffmpeg", "-loglevel", "quiet", *looped, "-c", "copy", "-f", "rtsp", target)

    def cut(self) -> None:
        """End both."""
        for process in reversed(self._processes):
            process.terminate()
            process.wait(10)
        self._processes.clear()

    def _start(self, *command: str) -> None:
        devnull = subprocess.DEVNULL
        self._processes.append(subprocess.Popen(command, stdin=devnull, stdout=devnull, stderr=devnull))


@contextmanager
def transport_streams(clip: Path, seconds: float) -> Iterator[str]:
    """A server that sends an MPEG-TS clip of some seconds to every caller, again and again, at its pace."""
    content = clip.read_bytes()
    step = 188 * max(1, round(len(content) / seconds / 10 / 188))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            due = time.monotonic()
            try:
                while True:
                    for at in range(0, len(content), step):
                        self.wfile.write(content[at : at + step])
                        due += seconds * step / len(content)
                        time.sleep(max(0.0, due - time.monotonic()))
            except OSError:
                pass

    with ExitStack() as stack:
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        stack.callback(server.shutdown)
        yield f"http://127.0.0.1:{server.server_port}"
