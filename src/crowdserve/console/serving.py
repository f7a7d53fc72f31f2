"""The console on a port of its own."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from crowdserve.console.app import Console
from crowdserve.descriptors import allow_descriptors
from crowdserve.live.outputs.connections import http_config

_CONNECTIONS = 300
_DESCRIPTORS = 500
"""Beside connections of browsers: to 64 watchers, for events and for what is asked, to the service, what is just being
closed, and the process's own."""


class ConsoleServer(uvicorn.Server):
    """Serves until SIGTERM or Ctrl-C, which let open pages go.

    Args:
        console: The pages.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

        @asynccontextmanager
        async def life(app: Starlette) -> AsyncIterator[None]:
            async with console:
                yield

        routes = [Route("/healthz", _lives), *console.routes]
        super().__init__(http_config(Starlette(routes=routes, lifespan=life), _CONNECTIONS))

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on these sockets."""
        allow_descriptors(_CONNECTIONS + _DESCRIPTORS, "let fewer connections through to the console")
        super().run(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop."""
        self._console.close()
        super().handle_exit(sig, frame)


async def _lives(request: Request) -> Response:
    return PlainTextResponse("ok\n")
