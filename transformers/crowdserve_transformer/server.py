"""The server process: REST, gRPC and metrics on one event loop, and a stop that loses no request.

The SDK's own server closes its listeners the moment SIGTERM arrives, while load balancers still send requests, and
offers endpoints that load and unload models to every caller; so this one starts the same protocols itself.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial

import uvicorn
from starlette.applications import Starlette

from crowdserve.console.access import read_console_token
from crowdserve.console.app import Console
from crowdserve.console.cameras import NoCameras
from crowdserve.console.hosts import chosen_hosts
from crowdserve.console.joined import JoinedWatchers
from crowdserve.console.links import ServiceAddress
from crowdserve.network import REACHED, join_address
from crowdserve.scene.classifier import SceneClassifier
from crowdserve_transformer.model import CrowdModel
from crowdserve_transformer.ports import bound_sockets
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.connections import KEEP_ALIVE_SECONDS, ConnectionLimits, Connections
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.http_protocol import GuardedProtocol
from crowdserve_transformer.transport.metrics_endpoint import create_metrics_app
from crowdserve_transformer.transport.rest import create_app
from crowdserve_transformer.transport.rpc.server import create_server

log = logging.getLogger(__name__)

_METRICS_GRACE_SECONDS = 1.0
"""Longest wait for a reader of the metrics when everything else has stopped."""


class _HttpServer(uvicorn.Server):
    """uvicorn without its own signal handlers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


async def serve(settings: Settings, classifier: SceneClassifier) -> None:
    """Serve until SIGTERM or SIGINT.

    On SIGTERM the service turns unready, continues to serve for `drain_seconds`, then stops listening and finishes
    the requests in flight. SIGINT, and a second signal, skip the draining.

    Raises:
        SetupError: If a port cannot be used.
    """
    model = CrowdModel(settings, classifier)
    plane = CrowdDataPlane(model)
    stop, hurry = asyncio.Event(), asyncio.Event()
    _handle_signals(stop, hurry)
    with bound_sockets(settings, "http_port") as sockets:
        grpc_server = create_server(plane)
        console = _console(settings)
        rest_server = _http_server(
            create_app(plane, console.routes if console else ()), settings, settings.grace_seconds
        )
        await model.start_decoders()
        async with _metrics_served(settings), console or nullcontext():
            await grpc_server.start()
            serving = asyncio.create_task(rest_server.serve(sockets=sockets))
            log.info("serving %s: REST on port %d, gRPC on port %d", model.name, settings.http_port, settings.grpc_port)
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
            model.draining = True
            if not serving.done():
                log.info("stopping: unready now, closing in %.0f s at most", settings.drain_seconds)
                await _wait_at_most(hurry, settings.drain_seconds)
            stopping.cancel()
            rest_server.should_exit = True
            if console:
                console.close()
            await asyncio.gather(serving, grpc_server.stop(settings.grace_seconds))
    await model.close()
    log.info("stopped")


@asynccontextmanager
async def _metrics_served(settings: Settings) -> AsyncIterator[None]:
    """Serve the metrics on their port while the block runs, if they have one: a scrape sees the drain as well."""
    if not settings.metrics_port:
        yield
        return
    with bound_sockets(settings, "metrics_port") as sockets:
        server = _http_server(create_metrics_app(), settings, _METRICS_GRACE_SECONDS)
        serving = asyncio.create_task(server.serve(sockets=sockets))
        try:
            yield
        finally:
            server.should_exit = True
            await serving


def _console(settings: Settings) -> Console | None:
    """The pages at /console, if they are wanted; photos that they count take the way of all others."""
    if settings.console == "off":
        return None
    token = read_console_token()
    alone = settings.console == "alone"
    cameras = NoCameras() if alone else JoinedWatchers(settings.console.split(","), token)
    reached = join_address(REACHED.get(settings.host, settings.host), settings.http_port)
    service = ServiceAddress(f"http://{reached}", settings.model_name, use_proxy=False)
    return Console(cameras, service, token, chosen_hosts(settings.console_hosts, settings.host))


def _http_server(app: Starlette, settings: Settings, grace_seconds: float) -> _HttpServer:
    return _HttpServer(
        uvicorn.Config(
            app,
            http=partial(GuardedProtocol, Connections(_connection_limits(settings))),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=round(grace_seconds),
        )
    )


def _connection_limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        connections=settings.max_connections,
        header_bytes=settings.max_header_bytes,
        headers=settings.max_headers,
        header_seconds=settings.header_timeout_seconds,
        lingering_bytes=4 * settings.max_body_bytes,
        pace_seconds=settings.body_timeout_seconds,
        pace_bytes=max(1, int(settings.body_timeout_seconds * settings.min_bytes_per_second)),
    )


def _handle_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    def on_signal(number: signal.Signals) -> None:
        if number == signal.SIGINT or stop.is_set():
            hurry.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)


async def _wait_at_most(event: asyncio.Event, seconds: float) -> None:
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
