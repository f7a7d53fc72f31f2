"""Video with PyAV, which is FFmpeg: streams, files, devices."""

import errno
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from crowdserve.errors import SetupError
from crowdserve.failures import in_words, status_in_words
from crowdserve.live.errors import SourceEnded, SourceLost
from crowdserve.live.frames import MAX_SIDE_PX, Frame, Pause, to_jpeg
from crowdserve.live.sources import https
from crowdserve.live.sources.limits import PICTURE_SECONDS, TimeLimit
from crowdserve.live.sources.tls import tls_options, tls_problem

_OPEN_SECONDS, _READ_SECONDS = 10.0, 10.0
_MOST_GAP_SECONDS = 60.0
"""Longest time from one frame of a recording to the next; more, or less than none, is another count of its clock."""

_MOST_DAMAGED = 250
"""Packets, one behind the other, that cannot be decoded before a stream counts as lost."""

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


_SILENT = "the camera has been silent for too long"
_STATUS_ERRORS = {
    av.HTTPBadRequestError: 400,
    av.HTTPUnauthorizedError: 401,
    av.HTTPForbiddenError: 403,
    av.HTTPNotFoundError: 404,
    av.HTTPTooManyRequestsError: 429,
    av.HTTPServerError: 500,
}
_MEANINGS: tuple[tuple[type[Exception], str], ...] = (
    *((kind, status_in_words(status, "{it}")) for kind, status in _STATUS_ERRORS.items()),
    (av.HTTPClientError, "{it} does not give what was asked for"),
    (av.ExitError, _SILENT),
    (av.error.EOFError, "the stream has ended before its first picture"),
    (av.InvalidDataError, "{it} sends no video that can be decoded"),
    (av.DecoderNotFoundError, "{it} sends video of a kind that cannot be decoded here"),
    (av.DemuxerNotFoundError, "{it} sends no kind of video that is known here"),
    (av.ProtocolNotFoundError, "the address begins with a protocol that this FFmpeg was built without"),
    (av.PatchWelcomeError, "{it} sends video of a kind that cannot be decoded here"),
    (av.error.LookupError, "{it} sends video of a kind that is not known here"),
)
"""What errors of FFmpeg mean that are none of the system's; the first that fits counts."""


def video_frames(
    address: str, every_seconds: float, *, is_file: bool = False, loop: bool = False, pause: Pause = time.sleep
) -> Iterator[Frame]:
    """The frames of a video.

    A file, and a recording of a web server, is played at its own pace. Of a stream only keyframes are decoded, unless
    they come more rarely than frames are wanted: that costs a tenth.

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
    number, is_recorded = 0, is_file
    while True:
        try:
            limit = TimeLimit(PICTURE_SECONDS + every_seconds)  # keyframes may come as rarely
            with _opened(address, is_file, limit) as container:
                is_recorded = is_file or _is_recorded(container, address)
                packets = _packets(container, None if is_file else limit)
                for frame in _decoded(packets, container.streams.video[0], every_seconds, is_recorded, pause):
                    yield Frame(time.time(), number, lambda frame=frame: _jpeg(frame))  # type: ignore[misc]
                    number += 1
                    limit.restart()
        except (av.FFmpegError, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as err:
            raise SourceLost(_reason(err, address)) from err
        except SetupError as err:
            raise SourceLost(str(err)) from err
        if not is_recorded:
            raise SourceLost("the stream has ended")
        if not loop or not number:
            raise SourceEnded("it has been played" if number else "it has no frame that can be decoded")


@contextmanager
def _opened(address: str, is_file: bool, limit: TimeLimit) -> Iterator[InputContainer]:
    """Open an address; RTSP over TCP, which loses nothing, or over UDP where a camera refuses that."""
    scheme = address.partition("://")[0] if "://" in address else ""
    options: dict[str, str] = {}
    if scheme in _PROTOCOLS:
        options["protocol_whitelist"] = _PROTOCOLS[scheme]
    with ExitStack() as stack:
        if is_file:  # a name may look like a protocol
            container = _container(f"file:{address}", options)
        elif scheme == "https":
            files = stack.enter_context(https.HttpsFiles(address, limit))
            container = _container(files.url, options | https.OPTIONS, io_open=files.open)
        else:
            with tls_options(scheme) as trusted:
                container = (_rtsp if scheme.startswith("rtsp") else _other)(address, options | trusted)
        yield stack.enter_context(container)


def _rtsp(address: str, options: dict[str, str]) -> InputContainer:
    options["allowed_media_types"] = "video"
    try:
        return _container(address, options | {"rtsp_transport": "tcp"})
    except _REFUSALS_OF_CALLERS:
        raise
    except av.HTTPClientError:
        return _container(address, options | {"rtsp_transport": "udp"})


def _other(address: str, options: dict[str, str]) -> InputContainer:
    return _container(address, options, **({} if "://" in address else {"format": "v4l2"}))


def _container(address: str, options: dict[str, str], **chosen: Any) -> InputContainer:
    timeout, started = (_OPEN_SECONDS, _READ_SECONDS), time.monotonic()
    try:
        container: InputContainer = av.open(address, options=options, timeout=timeout, **chosen)
    except av.InvalidDataError as err:  # so FFmpeg says of a camera that takes the connection and says nothing
        if "://" in address and time.monotonic() - started >= 0.9 * _OPEN_SECONDS:
            raise SourceLost(_SILENT) from err
        raise
    if not container.streams.video:
        container.close()
        raise SourceLost("there is no video in it")
    return container


def _is_recorded(container: InputContainer, address: str) -> bool:
    """Whether what comes from a web server has an end: it comes faster than it was taken, and is played like a file."""
    return address.startswith(("http://", "https://")) and bool(container.duration)


def _packets(container: InputContainer, limit: TimeLimit | None) -> Iterator["Packet[VideoStream]"]:
    """The packets of the video; what comes beside it for ever, such as sound, does not make a picture."""
    stream = container.streams.video[0]
    for packet in container.demux():
        if limit is not None:
            limit.left()
        if packet.stream.index == stream.index:
            yield cast("Packet[VideoStream]", packet)


def _decoded(
    packets: Iterable["Packet[VideoStream]"], stream: VideoStream, every_seconds: float, is_recorded: bool, pause: Pause
) -> Iterator[VideoFrame]:
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1  # many cameras share few cores
    only_keyframes = not is_recorded
    stream.codec_context.skip_frame = "NONKEY" if only_keyframes else "DEFAULT"
    last_keyframe, damaged, pace = time.monotonic(), 0, _Pace(pause)
    for packet in packets:
        if packet.is_keyframe:
            last_keyframe = time.monotonic()
        elif only_keyframes and time.monotonic() - last_keyframe > every_seconds:
            only_keyframes, stream.codec_context.skip_frame = False, "DEFAULT"
        try:
            frames = packet.decode()
        except av.InvalidDataError:  # of a packet that was lost on the way, or a bad block of a disk
            damaged += 1
            if damaged > _MOST_DAMAGED:
                raise
            continue
        for frame in frames:
            damaged = 0
            if is_recorded and frame.time is not None:
                pace.keep(frame.time)
            yield frame


class _Pace:
    """The pace of a recording, whose clock begins anywhere, and may jump.

    Args:
        pause: Waits.
    """

    def __init__(self, pause: Pause) -> None:
        self._pause = pause
        self._begun = 0.0
        self._last: float | None = None

    def keep(self, at: float) -> None:
        """Wait until a frame is due, which was taken at that moment by the recording's clock."""
        if self._last is None or not 0 <= at - self._last <= _MOST_GAP_SECONDS:
            self._begun = time.monotonic() - at
        self._last = at
        self._pause(max(0.0, self._begun + at - time.monotonic()))


def _jpeg(frame: VideoFrame) -> bytes:
    try:
        return _encoded(frame)
    except (av.FFmpegError, ValueError, MemoryError) as err:
        raise SourceLost("the frame is damaged") from err


def _encoded(frame: VideoFrame) -> bytes:
    scale = min(1.0, MAX_SIDE_PX / max(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    pixels = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return to_jpeg(np.ascontiguousarray(np.rot90(pixels, getattr(frame, "rotation", 0) // 90)))


def _reason(err: Exception, address: str) -> str:
    """What an error of FFmpeg means; its own text may hold the address with a password."""
    is_network = "://" in address
    it = "the camera" if is_network else "the source"
    if is_network and isinstance(err, OSError) and err.errno == errno.EIO:  # of a name that nobody knows, too
        return _name_problem(address) or tls_problem(address) or f"the connection to {it} failed"
    for kind, text in _MEANINGS:
        if isinstance(err, kind):
            return text.format(it=it)
    return in_words(err, it)


def _name_problem(address: str) -> str:
    try:
        socket.getaddrinfo(urlsplit(address).hostname, None)
    except (OSError, ValueError) as err:
        err.__context__ = None  # FFmpeg's error, which says less
        return in_words(err, "the camera")
    return ""
