"""HTTP: a stream of JPEG files, a picture that is asked for again and again, or a video for FFmpeg.

What an answer is, its first bytes say: many cameras name another media type, or none.
"""

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, count

import httpx

from crowdserve.errors import SetupError
from crowdserve.failures import in_words, status_in_words
from crowdserve.live.errors import SourceLost
from crowdserve.live.frames import Frame, Pause, still_frame
from crowdserve.live.sources.limits import TimeLimit, limited_client
from crowdserve.live.sources.login import origin_of, with_login, without_login
from crowdserve.live.sources.mjpeg import is_decoded, jpeg_files, jpeg_parts
from crowdserve.live.sources.stills import MAX_FILE_BYTES
from crowdserve.live.sources.video import video_frames

_HEAD_BYTES, _MOST_REDIRECTS = 512, 5
_PARTS, _PICTURE, _VIDEO = "parts", "picture", "video"
_HTML = re.compile(rb"\s*(<!doctype html|<html|<head)", re.IGNORECASE)


def web_frames(url: str, every_seconds: float, pause: Pause) -> Iterator[Frame]:
    """The frames at an HTTP address.

    Redirects are followed on the same host and port alone, so that a password reaches nobody but who was named.

    Raises:
        SourceLost: When there are no frames any more.
    """
    address, login = without_login(url)
    numbers, due = count(), 0.0
    limit = TimeLimit()
    try:
        with limited_client(limit, address, login) as client:
            while True:
                limit.restart()
                with _answer(client, address) as answer:
                    if answer.kind == _VIDEO:
                        found = str(answer.response.url)
                        break
                    first = number = next(numbers)
                    for file, number in zip(answer.files(), chain((first,), numbers), strict=False):
                        yield still_frame(time.time(), number, file)
                        limit.restart()
                    if answer.kind == _PARTS or number > first:
                        raise SourceLost("the stream has ended")
                due = max(due, time.monotonic()) if first else time.monotonic() + every_seconds
                pause(max(0.0, due - time.monotonic()))
                due += every_seconds
        yield from video_frames(with_login(found, url), every_seconds, pause=pause)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as err:
        raise SourceLost(in_words(err, "the camera")) from err
    except SetupError as err:
        raise SourceLost(str(err)) from err


@contextmanager
def _answer(client: httpx.Client, url: str) -> Iterator["_Answer"]:
    """A camera's answer, behind its redirects."""
    for _ in range(_MOST_REDIRECTS):
        with client.stream("GET", url) as response:
            if (target := _same_origin(response)) is None:
                if response.status_code != httpx.codes.OK:
                    raise SourceLost(status_in_words(response.status_code, "the camera"))
                yield _Answer(response)
                return
        url = target
    raise SourceLost("the camera redirects again and again")


def _same_origin(response: httpx.Response) -> str | None:
    """Where a redirect leads that stays on its host and port."""
    target = response.next_request.url if response.next_request is not None else None
    if target is None or origin_of(target) != origin_of(response.url):
        return None
    return str(target)


class _Answer:
    """What a camera answers.

    Args:
        response: Its head; the body is read as it is asked for.

    Attributes:
        response: It.
        kind: One of `_PARTS`, `_PICTURE`, `_VIDEO`.

    Raises:
        SourceLost: If it is none of them.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._type: str = response.headers.get("content-type", "").strip()
        self._coming = response.iter_bytes()
        self._head = b""
        for piece in self._coming:
            self._head += piece
            if len(self._head) >= _HEAD_BYTES:
                break
        self.kind = self._found()

    def files(self) -> Iterator[bytes]:
        """The pictures in it, as they come."""
        pieces = chain((self._head,), self._coming)
        if self.kind == _PARTS:
            return jpeg_parts(pieces, self._type)
        if "content-length" in self.response.headers:
            return iter((_body(pieces),))
        return jpeg_files(pieces)

    def _found(self) -> str:
        main = self._type.partition("/")[0].lower()
        if main == "multipart" or self._head.lstrip().startswith(b"--"):
            return _PARTS
        if is_decoded(self._head):
            return _PICTURE
        if not self._head:
            raise SourceLost("the camera's answer is empty; expected a picture or a stream")
        is_page = _HTML.match(self._head) is not None
        if is_page or main == "image":
            told = "a page, perhaps of its login" if is_page else "a picture of a kind that is not decoded here"
            raise SourceLost(f"the camera answers with {told}; name the address of its picture or its stream")
        return _VIDEO


def _body(pieces: Iterable[bytes]) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > MAX_FILE_BYTES:
            raise SourceLost(f"the camera's picture has over {MAX_FILE_BYTES:,} bytes")
    return bytes(body)
