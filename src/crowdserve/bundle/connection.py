"""Requests to a registry and to where it redirects: whoever answers gets no credentials that are not theirs.

A redirect is followed by hand. What is sent to another scheme, host or port than the registry's has no credentials; a
registry with TLS may not redirect to HTTP without; there are few redirects, and small answers are small.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import httpx

from crowdserve.bundle.login import MAX_TOKEN_BYTES, Login
from crowdserve.bundle.reference import without_secrets
from crowdserve.errors import BundleError

MAX_REDIRECTS = 5
MAX_ANSWER_BYTES = 4 << 20
"""Largest manifest or message: the limit that registries have for manifests."""

ANSWER_SECONDS = 120.0
"""Longest time for a small answer, however slowly it drips."""

_REDIRECTS = {301, 302, 303, 307, 308}


class Connection:
    """A line to one registry; a context manager.

    Args:
        client: A client that follows no redirect and has no credentials of its own.
        login: The login to the registry.
        name: What an error calls the registry.
    """

    def __init__(self, client: httpx.Client, login: Login, name: str) -> None:
        self._client = client
        self._login = login
        self._name = name

    @contextmanager
    def open(
        self,
        method: str,
        url: str | httpx.URL,
        *,
        headers: Mapping[str, str] | None = None,
        content: Path | bytes | None = None,
    ) -> Iterator[httpx.Response]:
        """Send a request, and again with a login if the registry asks for one; the answer is not read yet.

        Raises:
            BundleError: If it redirects too often, or to where nothing may be sent.
            httpx.HTTPError: If the line breaks.
        """
        target = self._client.base_url.join(url) if isinstance(url, str) else url
        response = self._follow(method, target, headers or {}, content)
        try:
            yield response
        finally:
            response.close()

    def _follow(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: Path | bytes | None
    ) -> httpx.Response:
        redirects, has_asked = 0, False
        while True:
            response = self._send(method, url, headers, content)
            if response.status_code == httpx.codes.UNAUTHORIZED and not has_asked:
                has_asked = True
                if self._login.answer(url, response.headers.get("WWW-Authenticate", ""), self._fetch_token):
                    response.close()
                    continue
            if response.status_code not in _REDIRECTS or method not in {"GET", "HEAD"}:
                return response
            response.close()
            redirects += 1
            if redirects > MAX_REDIRECTS:
                raise BundleError(f"{self._name} redirects more than {MAX_REDIRECTS} times; check the address")
            url = self.target(response)

    def target(self, response: httpx.Response) -> httpx.URL:
        """Where an answer sends us: its header `Location`, without a user and a password.

        Raises:
            BundleError: If it names no address, or one where nothing may be sent.
        """
        came_from = response.request.url
        try:
            url = came_from.join(response.headers.get("Location", "")).copy_with(userinfo=b"")
        except httpx.InvalidURL as err:
            raise BundleError(f"{self._name} redirects to no address ({err}); try again") from err
        if "Location" not in response.headers or url.scheme not in {"http", "https"} or not url.host:
            raise BundleError(f"{self._name} redirects to no address of the web; try again, or name another registry")
        if url.scheme == "http" and "https" in {came_from.scheme, self._client.base_url.scheme}:
            raise BundleError(
                f"{self._name} redirects to {without_secrets(str(url)):.200}, which is not encrypted; nothing was sent "
                "there. Ask who runs the registry, or name another"
            )
        return url

    def _send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: Path | bytes | None
    ) -> httpx.Response:
        more = {"Accept-Encoding": "identity", **headers, **self._login.headers(url)}
        body = content.open("rb") if isinstance(content, Path) else nullcontext(content)
        with body as opened:
            request = self._client.build_request(method, url, headers=more, content=opened)
            return self._client.send(request, stream=True, auth=None, follow_redirects=False)

    def _fetch_token(self, request: httpx.Request) -> tuple[int, bytes]:
        request.headers["Accept-Encoding"] = "identity"
        response = self._client.send(request, stream=True, auth=None, follow_redirects=False)
        try:
            return response.status_code, read_small(response, MAX_TOKEN_BYTES, f"the login of {self._name}")
        finally:
            response.close()


def read_small(response: httpx.Response, limit_bytes: int, name: str) -> bytes:
    """The content of an answer that has a limit.

    Raises:
        BundleError: If it is longer, or takes too long.
    """
    content, until = bytearray(), time.monotonic() + ANSWER_SECONDS
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > limit_bytes:
            raise BundleError(f"{name}: the answer is larger than the {limit_bytes:,} bytes that were expected")
        if time.monotonic() > until:
            raise BundleError(f"{name}: the answer takes longer than {ANSWER_SECONDS:.0f} s; try again")
    return bytes(content)
