"""HTTPS for FFmpeg, by this program's client: for what a playlist names, FFmpeg looks at no certificate.

It has `tls_verify`, and does not hand it on from a playlist to its segments, keys and other playlists.
"""

from collections.abc import Iterator, Mapping
from typing import Self

import httpx

from crowdserve.failures import status_in_words
from crowdserve.live.errors import SourceLost
from crowdserve.live.sources.decryption import Decrypted, Readable
from crowdserve.live.sources.limits import TimeLimit, limited_client
from crowdserve.live.sources.login import origin_of, without_login

OPTIONS = {"http_persistent": "0", "http_multiple": "0"}
"""What FFmpeg must not try with files that it has not opened itself."""

_ENCRYPTED = "crypto+"
_SKIPPED_BYTES = 256 * 2**10
"""What is read to get forward, rather than asked for anew."""


class HttpsFiles:
    """The files of a video: that of its address, and what that one names.

    Args:
        address: An https:// URL. User and password in it are for its host and port alone.
        limit: Ends what is read.

    Attributes:
        url: It, without those.

    Raises:
        SetupError: If the file of authorities has no certificates.
    """

    def __init__(self, address: str, limit: TimeLimit) -> None:
        self.url, self._login = without_login(address)
        self._http = limited_client(limit, self.url)
        self._is_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def open(self, url: str, _: int, options: Mapping[str, str]) -> Readable:
        """Open a file, as FFmpeg asks: a part of it from `offset` to `end_offset`, decrypted by `key` and `iv`.

        Raises:
            SourceLost: If the server does not give the first one; of others one may be missing, as for FFmpeg itself.
            HTTPError: If the server cannot be reached, or has no certificate that is trusted.
        """
        is_first, self._is_begun = not self._is_begun, True
        found = httpx.URL(url.removeprefix(_ENCRYPTED))
        login = self._login if origin_of(found) == origin_of(httpx.URL(self.url)) else None
        begin, end = int(options.get("offset", 0)), int(options.get("end_offset", 0))
        file = _HttpFile(self._http, found, login, begin, end or None)
        try:
            file.ask()
        except SourceLost:
            if is_first:
                raise
        return Decrypted(file, options["key"], options["iv"]) if url.startswith(_ENCRYPTED) else file


class _HttpFile:
    """A file of a web server, which is asked for again from where FFmpeg wants to read on."""

    def __init__(
        self, http: httpx.Client, url: httpx.URL, login: httpx.Auth | None, begin: int, end: int | None
    ) -> None:
        self._http, self._url, self._login = http, url, login
        self._at, self._end = begin, end
        self._answer: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._left = b""
        self._gives_parts = False

    def ask(self) -> None:
        """Ask for it, from where it is to be read on."""
        headers = {"accept-encoding": "identity"}
        if self._at or self._end is not None:
            headers["range"] = f"bytes={self._at}-{'' if self._end is None else self._end - 1}"
        request = self._http.build_request("GET", self._url, headers=headers)
        answer = self._http.send(request, auth=self._login, follow_redirects=True, stream=True)
        self._answer, self._left = answer, b""
        if not answer.is_success:
            self.close()
            raise SourceLost(status_in_words(answer.status_code, "the camera"))
        is_part = answer.status_code == httpx.codes.PARTIAL_CONTENT
        if self._at and not is_part:
            self.close()
            raise SourceLost("the camera gives no part of a file, only the whole")
        length = answer.headers.get("content-length", "")
        if self._end is None and length.isdecimal():
            self._end = self._at + int(length)
            self._gives_parts = is_part or answer.headers.get("accept-ranges") == "bytes"
        self._pieces = answer.iter_raw()

    def read(self, most: int) -> bytes:
        """At most so many bytes; none at the end."""
        if self._answer is None and self._gives_parts and self._at < (self._end or 0):
            self.ask()
        if not self._left:
            self._left = next(filter(None, self._pieces), b"")
        found, self._left = self._left[:most], self._left[most:]
        self._at += len(found)
        return found

    def seekable(self) -> bool:
        """Whether the server gives parts of it."""
        return self._gives_parts

    def seek(self, offset: int, whence: int) -> int:
        """Read on from there; it is asked for when that is done."""
        target = offset + (0, self._at, self._end or 0)[whence]
        while self._at < target <= self._at + _SKIPPED_BYTES and self.read(target - self._at):
            pass
        if target != self._at:
            self.close()
            self._at = target
        return target

    def tell(self) -> int:
        """Where it is read on."""
        return self._at

    def close(self) -> None:
        """End the answer."""
        if self._answer is not None:
            self._answer.close()
        self._answer, self._pieces, self._left = None, iter(()), b""
