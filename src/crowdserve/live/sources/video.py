"""Video with PyAV, which is FFmpeg: streams, files, devices."""

import time
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame

from crowdserve.live.errors import SourceEnded, SourceLost
from crowdserve.live.frames import MAX_SIDE_PX, Frame, Pause, to_jpeg

_OPEN_SECONDS, _READ_SECONDS = 10.0, 10.0
_PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,udp,tcp,tls,crypto",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tcp,tls,crypto",
    "srt": "srt,udp",
    "udp": "udp",
    "rtp": "rtp,udp",
    "http": "http,tcp,crypto",
    "https": "https,http,tls,tcp,crypto",
}
"""What FFmpeg may open for an address: a playlist from the network must not name a file of this machine."""

_REFUSALS_OF_CALLERS = (av.HTTPUnauthorizedError, av.HTTPForbiddenError, av.HTTPNotFoundError)
"""What another transport does not change: a camera that locks out wrong passwords is not asked twice."""


def video_frames(
    address: str, every_seconds: float, *, is_file: bool = False, loop: bool = False, pause: Pause = time.sleep
) -> Iterator[Frame]:
    """The frames of a video.

    A file is played at its own pace. Of a stream only keyframes are decoded, unless they come more rarely than frames
    are wanted: that costs a tenth.

    Args:
        address: A URL, a file or a device.
        every_seconds: How often a frame will be counted.
        is_file: Whether it is a file.
        loop: Whether a file starts again at its end.
        pause: Waits until a file's next frame is due.

    Raises:
        SourceLost: When there are no frames any more.
        SourceEnded: At the end of a file.
    """
    number = 0
    while True:
        try:
            with _opened(address, is_file) as container:
                for frame in _decoded(container, every_seconds, is_file, pause):
                    yield Frame(time.time(), number, lambda frame=frame: _jpeg(frame))  # type: ignore[misc]
                    number += 1
        except (av.FFmpegError, OSError, ValueError) as err:
            raise SourceLost(_reason(err)) from err
        if not is_file:
            raise SourceLost("the stream has ended")
        if not loop or not number:
            raise SourceEnded("the file has been played" if number else "the file has no frame")


def _opened(address: str, is_file: bool) -> InputContainer:
    """Open an address; RTSP over TCP, which loses nothing, or over UDP where a camera refuses that."""
    scheme = address.partition("://")[0] if "://" in address else ""
    options: dict[str, str] = {}
    if scheme in _PROTOCOLS:
        options["protocol_whitelist"] = _PROTOCOLS[scheme]
    if not scheme.startswith("rtsp"):
        return _container(address, options, form=None if scheme or is_file else "v4l2")
    options["allowed_media_types"] = "video"
    try:
        return _container(address, options | {"rtsp_transport": "tcp"})
    except _REFUSALS_OF_CALLERS:
        raise
    except av.HTTPClientError:
        return _container(address, options | {"rtsp_transport": "udp"})


def _container(address: str, options: dict[str, str], form: str | None = None) -> InputContainer:
    chosen: dict[str, Any] = {"format": form} if form else {}
    container: InputContainer = av.open(address, options=options, timeout=(_OPEN_SECONDS, _READ_SECONDS), **chosen)
    if not container.streams.video:
        container.close()
        raise SourceLost("there is no video in it")
    return container


def _decoded(container: InputContainer, every_seconds: float, is_file: bool, pause: Pause) -> Iterator[VideoFrame]:
    stream = container.streams.video[0]
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1  # many cameras share few cores
    only_keyframes = not is_file
    stream.codec_context.skip_frame = "NONKEY" if only_keyframes else "DEFAULT"
    started, last_keyframe = time.monotonic(), time.monotonic()
    for packet in container.demux(stream):
        if packet.is_keyframe:
            last_keyframe = time.monotonic()
        elif only_keyframes and time.monotonic() - last_keyframe > every_seconds:
            only_keyframes, stream.codec_context.skip_frame = False, "DEFAULT"
        for frame in packet.decode():
            if is_file and frame.time is not None:
                pause(max(0.0, started + frame.time - time.monotonic()))
            yield frame


def _jpeg(frame: VideoFrame) -> bytes:
    scale = min(1.0, MAX_SIDE_PX / max(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    pixels = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return to_jpeg(np.ascontiguousarray(np.rot90(pixels, getattr(frame, "rotation", 0) // 90)))


def _reason(err: Exception) -> str:
    """What FFmpeg says, without the address, which may hold a password."""
    return getattr(err, "strerror", None) or type(err).__name__
