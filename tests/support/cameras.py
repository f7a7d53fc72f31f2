"""A camera of the tests: an HTTP server of MJPEG and snapshots whose picture a test can change, and cut."""

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

BOUNDARY = "frame"


def noisy_jpeg(left: int, right: int, seed: int = 0, size: tuple[int, int] = (320, 240)) -> bytes:
    """A JPEG whose halves have these mean brightnesses, with texture, as a lens that sees something gives it."""
    width, height = size
    pixels = np.empty((height, width))
    pixels[:, : width // 2], pixels[:, width // 2 :] = left, right
    blocks = np.random.default_rng(seed).uniform(-30, 30, (height // 8 + 1, width // 8 + 1))
    pixels += np.kron(blocks, np.ones((8, 8)))[:height, :width]
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert("RGB").save(file, format="JPEG", quality=90)
    return file.getvalue()


class TestCamera(ThreadingHTTPServer):
    """Serves `/stream` (MJPEG) and `/snapshot`; with a password if there is one.

    Attributes:
        brightness: Of the left and the right half.
        file: What to serve instead of such a picture; None for none.
        paused: Whether no frame is sent, while connections stay.
        cut: Whether connections are closed and refused.
        password: Asked for by Basic authentication; None for none.
        asked: Paths that were asked for.
    """

    daemon_threads = True
    __test__ = False

    def __init__(self, frames_per_second: float = 20.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.interval = 1 / frames_per_second
        self.brightness = (60, 60)
        self.file: bytes | None = None
        self.paused = self.cut = False
        self.password: str | None = None
        self.with_lengths = True
        self.asked: list[str] = []
        self.number = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def frame(self) -> bytes:
        """The picture of now; each is a little different."""
        self.number += 1
        return self.file or noisy_jpeg(*self.brightness, seed=self.number)


class _Handler(BaseHTTPRequestHandler):
    server: TestCamera

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        camera = self.server
        camera.asked.append(self.path)
        if camera.cut:
            self.close_connection = True
            return
        if camera.password and not self._is_allowed(camera.password):
            self._answer(401, "text/plain", b"", {"WWW-Authenticate": 'Basic realm="camera"'})
        elif self.path.startswith("/snapshot"):
            self._answer(200, "image/jpeg", camera.frame())
        elif self.path.startswith("/stream"):
            self._stream()
        else:
            self._answer(404, "text/plain", b"")

    def _is_allowed(self, password: str) -> bool:
        expected = base64.b64encode(f"user:{password}".encode()).decode()
        return self.headers["Authorization"] == f"Basic {expected}"

    def _answer(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.end_headers()
        try:
            while not self.server.cut:
                if not self.server.paused:
                    self.wfile.write(self._part(self.server.frame()))
                time.sleep(self.server.interval)
        except OSError:
            pass  # the watcher has gone
        self.close_connection = True

    def _part(self, file: bytes) -> bytes:
        length = f"Content-Length: {len(file)}\r\n" if self.server.with_lengths else ""
        return f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + file + b"\r\n"


@contextmanager
def running_camera(frames_per_second: float = 20.0) -> Iterator[TestCamera]:
    """A camera that serves while the block runs."""
    with TestCamera(frames_per_second) as camera:
        thread = threading.Thread(target=camera.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield camera
        finally:
            camera.cut = True
            camera.shutdown()
            thread.join()


class Receiver(ThreadingHTTPServer):
    """Takes webhooks.

    Attributes:
        taken: Headers and body of each message that was answered with 2xx.
        refused: Of each that was not.
        status: What it answers.
        retry_after: The header of that name; empty for none.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ReceiverHandler)
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.refused: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.retry_after = ""
        self.url = f"http://127.0.0.1:{self.server_port}/hook?token=hush-hush"


class _ReceiverHandler(BaseHTTPRequestHandler):
    server: Receiver

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = ({name.lower(): value for name, value in self.headers.items()}, body)
        (self.server.taken if self.server.status < 300 else self.server.refused).append(message)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        if self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
        self.end_headers()


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """A receiver of webhooks while the block runs."""
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()
