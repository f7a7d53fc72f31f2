"""Video clips that tests make."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image


def write_clip(
    path: Path,
    frames: int,
    *,
    size: tuple[int, int] = (320, 240),
    rate: int = 10,
    keyframe_every: int = 10,
    codec: str = "libx264",
    times: Sequence[int] | None = None,
) -> None:
    """A clip of a brightness that rises by two with each frame, over a fixed texture.

    Args:
        times: When each frame is shown, in frames; one after the other if None.
    """
    width, height = size
    texture = np.random.default_rng(0).uniform(-30, 30, (height // 8, width // 8))
    texture = np.kron(texture, np.ones((8, 8)))[..., np.newaxis]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size = keyframe_every
        stream.options = {"preset": "ultrafast", "sc_threshold": "0"} if codec == "libx264" else {}
        for number in range(frames):
            pixels = np.clip(40 + 2 * number + texture, 0, 255).astype(np.uint8)
            picture = Image.fromarray(np.broadcast_to(pixels, (height, width, 3)).copy())
            frame = av.VideoFrame.from_image(picture)
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, rate)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
