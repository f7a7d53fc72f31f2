"""Pages, scripts and styles, as they are sent, and the headers that let a browser load nothing else."""

import hashlib
from collections.abc import Mapping
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from crowdserve.console.cameras import UnknownCamera

HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Of everything that the console sends."""

_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css", ".html": "text/html"}


class Files:
    """The files of the package, in memory: a browser asks again each time, and is told that nothing has changed."""

    def __init__(self) -> None:
        folder = resources.files("crowdserve.console") / "static"
        self._files = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
        self._tags = {name: f'"{hashlib.sha256(content).hexdigest()[:20]}"' for name, content in self._files.items()}

    @property
    def total_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(map(len, self._files.values()))

    def answer(self, request: Request, name: str) -> Response:
        """A file, or that the browser has it.

        Raises:
            UnknownCamera: If there is none of that name.
        """
        if name not in self._files:
            raise UnknownCamera(f"there is no page {name!r}")
        kind = _TYPES[name[name.rindex(".") :]]
        headers = {"etag": self._tags[name], "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == self._tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(self._files[name], media_type=kind, headers=headers)
