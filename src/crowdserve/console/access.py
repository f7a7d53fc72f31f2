"""Who may change something: whoever has the token, as a bearer, or as a browser that has logged in with it."""

import asyncio
import hmac
import os
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from crowdserve.console.sessions import SESSION_SECONDS, Sessions
from crowdserve.errors import SetupError
from crowdserve.failures import in_words

TOKEN_VARIABLE, FILE_VARIABLE = "CROWDSERVE_CONSOLE_TOKEN", "CROWDSERVE_CONSOLE_TOKEN_FILE"
COOKIE = "crowdserve_console"
_SHORTEST = 16
_PORTS = {"http": "80", "https": "443"}
_WRONG_SECONDS = 1.0
"""How long a wrong token waits for its answer; the next one waits for that."""


def read_console_token() -> str | None:
    """The token that lets a caller change something; None if there is none, and nobody may.

    Raises:
        SetupError: If it cannot be read, or is too short.
    """
    file = os.environ.get(FILE_VARIABLE)
    try:
        token = (Path(file).read_text() if file else os.environ.get(TOKEN_VARIABLE, "")).strip()
    except (OSError, UnicodeDecodeError) as err:
        raise SetupError(f"{FILE_VARIABLE} cannot be read: {in_words(err)}") from err
    if not token and not file:
        return None
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        name = FILE_VARIABLE if file else TOKEN_VARIABLE
        raise SetupError(f"{name} is no token; expected {_SHORTEST} or more ASCII characters without blanks")
    return token


class Access:
    """Checks requests.

    Args:
        token: The token; None for nobody to have one.
    """

    def __init__(self, token: str | None) -> None:
        self.token = token
        self._sessions = Sessions()
        self._one = asyncio.Semaphore(1)

    async def may_change(self, request: Request) -> bool:
        """Whether a request comes from somebody who has the token; wrong ones are answered one per second."""
        if self.token is None:
            return False
        kind, _, sent = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return await self.is_token(sent.strip())
        if not self._sessions.knows(request.cookies.get(_cookie(request), "")):
            return False
        return not is_from_elsewhere(request) and (request.method == "GET" or _says_from_where(request))

    async def is_token(self, sent: str) -> bool:
        """Whether a text is the token; wrong ones are answered one per second."""
        if self.token is not None and hmac.compare_digest(sent.encode(errors="replace"), self.token.encode()):
            return True
        async with self._one:
            await asyncio.sleep(_WRONG_SECONDS)
        return False

    def log_in(self, request: Request, response: Response, *, secure: bool) -> None:
        """Give a browser a session, in the place of the one that it has."""
        self._sessions.end(request.cookies.get(_cookie(request), ""))
        session = self._sessions.begin()
        response.set_cookie(_cookie(request), session, SESSION_SECONDS, secure=secure, httponly=True, samesite="strict")

    def log_out(self, request: Request, response: Response) -> None:
        """End a browser's session, and that of whoever has copied its cookie."""
        self._sessions.end(request.cookies.get(_cookie(request), ""))
        response.delete_cookie(_cookie(request), httponly=True, samesite="strict")


def is_from_elsewhere(request: Request) -> bool:
    """Whether another site's page has made a browser send a request."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site != "same-origin"
    origin = request.headers.get("origin")
    if origin is None:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return True
    usual = f":{_PORTS.get(parts.scheme, '')}"
    return parts.netloc.removesuffix(usual) != request.headers.get("host", "").lower().removesuffix(usual)


def _says_from_where(request: Request) -> bool:
    """Whether a request says so, as every browser does of one that changes something."""
    return "sec-fetch-site" in request.headers or "origin" in request.headers


def _cookie(request: Request) -> str:
    """The cookie's name: a browser shows those of one machine to all of its ports."""
    return f"{COOKIE}_{request.scope['server'][1]}" if request.scope.get("server") else COOKIE
