"""User and password of a camera, which its URL holds."""

from collections.abc import Generator
from urllib.parse import unquote, urlsplit

import httpx

from crowdserve.live.errors import SourceLost


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


def without_login(url: str) -> tuple[str, CameraLogin | None]:
    """A URL without user and password, and those.

    Raises:
        SourceLost: If it is none.
    """
    try:
        parts = urlsplit(url)
        if parts.username is None:
            return url, None
    except ValueError as err:
        raise SourceLost("the camera's URL cannot be read") from err
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return address, CameraLogin(unquote(parts.username), unquote(parts.password or ""))


def with_login(address: str, url: str) -> str:
    """An address with the user and the password of a URL."""
    login, at, _ = urlsplit(url).netloc.rpartition("@")
    parts = urlsplit(address)
    return parts._replace(netloc=f"{login}{at}{parts.netloc}").geturl()


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """Whom a URL leads to: a password is for nobody else."""
    return url.scheme, url.host, url.port
