"""The source of an address."""

import time
from collections.abc import Iterator

from crowdserve.live.addresses import STREAMS, WEB, fault_of_address, path_of, scheme_of
from crowdserve.live.errors import SourceLost
from crowdserve.live.frames import Frame, Pause
from crowdserve.live.sources.stills import folder_frames
from crowdserve.live.sources.video import video_frames
from crowdserve.live.sources.web import web_frames


def open_source(
    address: str, every_seconds: float, *, loop: bool = False, pause: Pause = time.sleep
) -> Iterator[Frame]:
    """The frames of a source.

    Args:
        address: A URL, a file, a folder or a device; a number alone is that of a device.
        every_seconds: How often one will be counted: what asks for its pictures asks as often, and a video stream whose
            keyframes come as often is not decoded between them.
        loop: Whether a video file starts again at its end.
        pause: Waits until the next frame is due.

    Raises:
        SourceLost: When there are no frames any more; it may be opened again.
        SourceEnded: At the end of a file.
    """
    fault = fault_of_address(address)
    if fault:
        raise SourceLost(fault)
    scheme = scheme_of(address)
    url = f"{scheme}{address[len(scheme) :]}"
    if scheme in WEB:
        return web_frames(url, every_seconds, pause)
    if scheme in STREAMS:
        return video_frames(url, every_seconds)
    path = path_of(address)
    if path.is_dir():
        return folder_frames(path, every_seconds, pause)
    if path.exists():
        return video_frames(str(path), every_seconds, is_file=path.is_file(), loop=loop, pause=pause)
    raise SourceLost("the source is no URL, and there is no such file, folder or device")
