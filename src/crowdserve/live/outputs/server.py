"""What a watcher serves over HTTP: Prometheus's metrics, whether it lives, and pages that somebody adds."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Protocol

import uvicorn
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from crowdserve.errors import SetupError
from crowdserve.failures import in_words
from crowdserve.live.board import Board
from crowdserve.live.outputs.connections import http_config
from crowdserve.live.outputs.metrics import registry_of
from crowdserve.network import is_elsewhere, join_address, listen

_STOP_SECONDS = 5.0
_CONNECTIONS, _WAITING = 200, 128


class Pages(AbstractAsyncContextManager["Pages"], Protocol):
    """Pages that are served too, while the context is entered."""

    routes: list[BaseRoute]

    def refusal(self, request: Request) -> Response | None:
        """The answer to a request for something else that should not get it; None for others."""

    def close(self) -> None:
        """Let open connections go."""


@contextmanager
def serving_metrics(
    board: Board, deliveries: Mapping[str, int], host: str, port: int | None, pages: Pages | None = None
) -> Iterator[int | None]:
    """Serve the metrics of a board while the block runs; yields the port.

    Args:
        board: It.
        deliveries: Webhook messages by outcome.
        host: Address to listen on.
        port: Port; 0 for a free one, None for none at all.
        pages: What is served besides.

    Raises:
        SetupError: If the port cannot be used.
    """
    if port is None:
        yield None
        return
    try:
        sockets = listen(host, port)
        for each in sockets:
            each.listen(_WAITING)  # whoever connects now waits until the thread runs
    except OSError as err:
        elsewhere = "it is no address of this machine; set metrics_host"
        problem = elsewhere if is_elsewhere(err) else f"{in_words(err)}; set metrics_port"
        raise SetupError(f"metrics cannot be served on {join_address(host, port)}: {problem}") from err
    server = _Server(_application(board, deliveries, pages), pages, sockets)
    server.start()
    try:
        yield int(sockets[0].getsockname()[1])
    finally:
        server.stop()


class _Server:
    """uvicorn in a thread with an event loop of its own."""

    def __init__(self, app: Starlette, pages: Pages | None, sockets: list[socket.socket]) -> None:
        self._pages = pages
        self._sockets = sockets
        self._loop = asyncio.new_event_loop()
        self._server = uvicorn.Server(http_config(app, _CONNECTIONS))
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._leave)
        self._thread.join(2 * _STOP_SECONDS)

    def _leave(self) -> None:
        if self._pages is not None:
            self._pages.close()
        self._server.should_exit = True

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._server.serve(sockets=self._sockets))
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()


def _application(board: Board, deliveries: Mapping[str, int], pages: Pages | None) -> Starlette:
    registry = registry_of(board, deliveries)

    async def metrics(request: Request) -> Response:
        if pages is not None and (refusal := pages.refusal(request)) is not None:
            return refusal
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": kind})

    async def lives(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        if pages is None:
            yield
            return
        async with pages:
            yield

    routes = [Route("/metrics", metrics), Route("/", metrics), Route("/healthz", lives)]
    return Starlette(routes=[*routes, *(pages.routes if pages else ())], lifespan=life)
