"""Pages of other origins that may read answers: which, of what, and what browsers ask for before they send (CORS)."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from crowdserve.protocol.headers import JSON_LENGTH_HEADER, POD_HEADER

_METHODS = ("GET", "HEAD", "POST")
_READ_BY_PAGES = ("x-request-id", "retry-after", JSON_LENGTH_HEADER, POD_HEADER)
_ASKED_AGAIN_SECONDS = 600
_PATHS = ("/v1/", "/v2/", "/openapi.json")


class SharedWithPages:
    """Lets pages of some origins read the answers of the protocols; nothing of the console, and without cookies.

    Args:
        app: The application.
        origins: As browsers write them, `https://example.com`, or `*` for all.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._shared = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=["*"],
            expose_headers=_READ_BY_PAGES,
            max_age=_ASKED_AGAIN_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, to pages too where that is shared."""
        is_shared = f"{scope.get('path', '')}/".startswith(_PATHS)
        await (self._shared if is_shared else self._app)(scope, receive, send)
