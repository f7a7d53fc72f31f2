"""Cameras in a pod: `/NAME/snapshot` and `/NAME/stream` serve a photo, each time with a little noise.

Its arguments are the photo and the port. It runs by itself in the transformer's image, without the project.
"""

import io
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

BOUNDARY = "frame"
INTERVAL_SECONDS = 0.5
SIDES = (160, 120)

with Image.open(sys.argv[1]) as photo:
    PIXELS = np.asarray(photo.convert("RGB").resize(SIDES), np.int16)


def frame() -> bytes:
    """The photo as a camera gives it: no two pictures are the same."""
    noise = np.random.default_rng().integers(-3, 4, PIXELS.shape, np.int16)
    file = io.BytesIO()
    Image.fromarray(np.clip(PIXELS + noise, 0, 255).astype(np.uint8)).save(file, format="JPEG", quality=90)
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers each camera alike."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """A picture, or pictures for as long as they are read."""
        self.send_response(200)
        if not self.path.endswith("/stream"):
            file = frame()
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(file)))
            self.end_headers()
            self.wfile.write(file)
            return
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.end_headers()
        try:
            while True:
                self.wfile.write(f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode() + frame() + b"\r\n")
                time.sleep(INTERVAL_SECONDS)
        except OSError:
            self.close_connection = True


ThreadingHTTPServer(("", int(sys.argv[2])), Handler).serve_forever()
