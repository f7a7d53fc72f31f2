"""Prometheus's metrics over HTTP."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import start_http_server

from crowdserve.errors import SetupError
from crowdserve.live.board import Board
from crowdserve.live.outputs.metrics import registry_of


@contextmanager
def serving_metrics(board: Board, deliveries: Mapping[str, int], host: str, port: int | None) -> Iterator[int | None]:
    """Serve the metrics of a board while the block runs; yields the port.

    Args:
        board: It.
        deliveries: Webhook messages by outcome.
        host: Address to listen on.
        port: Port; 0 for a free one, None for none at all.

    Raises:
        SetupError: If the port cannot be used.
    """
    if port is None:
        yield None
        return
    try:
        server, thread = start_http_server(port, host, registry_of(board, deliveries))
    except OSError as err:
        raise SetupError(f"metrics cannot be served on {host}:{port} ({err.strerror}); set metrics_port") from err
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
