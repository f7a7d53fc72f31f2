"""The server process: REST and gRPC on one event loop, and a stop that loses no request.

The SDK's own server closes its listeners the moment SIGTERM arrives, while load balancers still send requests, and
offers endpoints that load and unload models to every caller; so this one starts the same protocols itself.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import uvicorn

from crowdserve.errors import SetupError
from crowdserve.scene.classifier import SceneClassifier
from crowdserve_transformer.model import CrowdModel
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.connections import KEEP_ALIVE_SECONDS, ConnectionLimits, Connections
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.grpc_service import create_server
from crowdserve_transformer.transport.http_protocol import GuardedProtocol
from crowdserve_transformer.transport.rest import create_app

log = logging.getLogger(__name__)


class _RestServer(uvicorn.Server):
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
    with _listening(settings) as listener:
        grpc_server = create_server(plane)
        rest_server = _rest_server(plane)
        await model.start_decoders()
        await grpc_server.start()
        serving = asyncio.create_task(rest_server.serve(sockets=[listener]))
        log.info("serving %s: REST on port %d, gRPC on port %d", model.name, settings.http_port, settings.grpc_port)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        model.draining = True
        if not serving.done():
            log.info("stopping: unready now, closing in %.0f s at most", settings.drain_seconds)
            await _wait_at_most(hurry, settings.drain_seconds)
        stopping.cancel()
        rest_server.should_exit = True
        await asyncio.gather(serving, grpc_server.stop(settings.grace_seconds))
    await model.close()
    log.info("stopped")


def _rest_server(plane: CrowdDataPlane) -> _RestServer:
    return _RestServer(
        uvicorn.Config(
            create_app(plane),
            http=partial(GuardedProtocol, Connections(_connection_limits(plane.model.settings))),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=round(plane.model.settings.grace_seconds),
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


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.http_port))
        except OSError as err:
            address = f"{settings.host}:{settings.http_port}"
            raise SetupError(f"REST cannot listen on {address} ({err.strerror}); free it or set --http_port") from err
        yield listener


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
