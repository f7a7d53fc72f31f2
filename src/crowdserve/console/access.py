"""Who may change something: whoever has the token, as a bearer, or as a browser that has logged in with it."""

import asyncio
import hashlib
import hmac
import os
import time
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from crowdserve.errors import SetupError

TOKEN_VARIABLE, FILE_VARIABLE = "CROWDSERVE_CONSOLE_TOKEN", "CROWDSERVE_CONSOLE_TOKEN_FILE"
COOKIE = "crowdserve_console"
SESSION_SECONDS = 12 * 3600
_SHORTEST = 16
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
        raise SetupError(f"{FILE_VARIABLE} cannot be read: {err}") from err
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
        self._one = asyncio.Semaphore(1)

    async def may_change(self, request: Request) -> bool:
        """Whether a request comes from somebody who has the token; wrong ones are answered one per second."""
        if self.token is None:
            return False
        kind, _, sent = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return await self.is_token(sent.strip())
        return self._is_session(request.cookies.get(COOKIE, "")) and not is_from_elsewhere(request)

    async def is_token(self, sent: str) -> bool:
        """Whether a text is the token; wrong ones are answered one per second."""
        if self.token is not None and hmac.compare_digest(sent.encode(errors="replace"), self.token.encode()):
            return True
        async with self._one:
            await asyncio.sleep(_WRONG_SECONDS)
        return False

    def log_in(self, response: Response, *, secure: bool) -> None:
        """Give a browser a session."""
        until = str(int(time.time()) + SESSION_SECONDS)
        value = f"{until}.{self._signature(until)}"
        response.set_cookie(COOKIE, value, SESSION_SECONDS, secure=secure, httponly=True, samesite="strict")

    def _is_session(self, cookie: str) -> bool:
        until, _, signature = cookie.partition(".")
        signed = hmac.compare_digest(signature.encode(), self._signature(until).encode())
        return signed and until.isdigit() and time.time() < int(until)

    def _signature(self, text: str) -> str:
        return hmac.new((self.token or "").encode(), f"console session {text}".encode(), hashlib.sha256).hexdigest()


def is_from_elsewhere(request: Request) -> bool:
    """Whether another site's page has made a browser send a request."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site != "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")
