"""HTTP: a stream of JPEG files, a picture that is asked for again and again, or a video for FFmpeg."""

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from crowdserve.certificates import CA_FILE, tls_context
from crowdserve.errors import SetupError
from crowdserve.failures import in_words, status_in_words
from crowdserve.live.errors import SourceLost
from crowdserve.live.frames import Frame, Pause, still_frame
from crowdserve.live.sources.mjpeg import jpeg_parts
from crowdserve.live.sources.stills import MAX_FILE_BYTES
from crowdserve.live.sources.video import video_frames

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)


class CameraLogin(httpx.Auth):
    """Basic or Digest, as the camera asks; nothing is sent to one that does not ask.

    Args:
        user: User name.
        password: Password.
    """

    def __init__(self, user: str, password: str) -> None:
        self._basic = httpx.BasicAuth(user, password)
        self._digest = httpx.DigestAuth(user, password)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Answer the camera's challenge."""
        response = yield request
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return
        challenges = response.headers.get("www-authenticate", "").lower()
        yield from (self._digest if "digest" in challenges else self._basic).auth_flow(request)


def web_frames(url: str, every_seconds: float, pause: Pause) -> Iterator[Frame]:
    """The frames at an HTTP address; its media type says what they are.

    Redirects are not followed, so that a password reaches no host but the one that was named.

    Raises:
        SourceLost: When there are no frames any more.
    """
    address, login = _without_login(url)
    try:
        trusted = tls_context(_authorities(), url=address)
        with httpx.Client(timeout=_TIMEOUT, auth=login, trust_env=False, verify=trusted) as client:
            with client.stream("GET", address) as response:
                kind = _kind_of(response)
                if kind == "multipart":
                    for number, file in enumerate(jpeg_parts(response.iter_raw(), response.headers["content-type"])):
                        yield still_frame(time.time(), number, file)
                    raise SourceLost("the stream has ended")
                if kind == "image":
                    yield still_frame(time.time(), 0, _body(response))
            if kind == "image":
                yield from _snapshots(client, address, every_seconds, pause)
        yield from video_frames(url, every_seconds)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as err:
        raise SourceLost(in_words(err, "the camera")) from err
    except SetupError as err:
        raise SourceLost(str(err)) from err


def _authorities() -> Path | None:
    """The file of authorities whose certificates cameras may have besides the usual ones'."""
    return Path(os.environ[CA_FILE]) if os.environ.get(CA_FILE) else None


def _snapshots(client: httpx.Client, url: str, every_seconds: float, pause: Pause) -> Iterator[Frame]:
    number, due = 1, time.monotonic() + every_seconds
    while True:
        pause(max(0.0, due - time.monotonic()))
        due = max(due + every_seconds, time.monotonic())
        with client.stream("GET", url) as response:
            if _kind_of(response) != "image":
                raise SourceLost("the camera has stopped to answer with a picture")
            yield still_frame(time.time(), number, _body(response))
        number += 1


def _kind_of(response: httpx.Response) -> str:
    """multipart, image or another word."""
    if response.status_code != httpx.codes.OK:
        raise SourceLost(status_in_words(response.status_code, "the camera"))
    kind: str = response.headers.get("content-type", "").partition("/")[0].strip().lower()
    return kind


def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_FILE_BYTES:
            raise SourceLost(f"the camera's picture has over {MAX_FILE_BYTES:,} bytes")
    return bytes(body)


def _without_login(url: str) -> tuple[str, CameraLogin | None]:
    """A URL without user and password, and those."""
    try:
        parts = urlsplit(url)
        if parts.username is None:
            return url, None
    except ValueError as err:
        raise SourceLost("the camera's URL cannot be read") from err
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return address, CameraLogin(unquote(parts.username), unquote(parts.password or ""))
