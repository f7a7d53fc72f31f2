"""The ports that the transformer listens on."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from crowdserve.errors import SetupError
from crowdserve.network import is_elsewhere, join_address, listen
from crowdserve_transformer.settings import Settings

if TYPE_CHECKING:
    import grpc  # type: ignore[import-untyped]

_LISTENERS = {"http_port": "REST", "grpc_port": "gRPC", "metrics_port": "the metrics server"}
"""Who listens, by the port's setting; a port of 0 is none."""


def check_ports(settings: Settings) -> None:
    """Check that every port can be had, all at once, before anything is done that takes longer.

    Raises:
        SetupError: If one cannot; the message says which setting is to change.
    """
    with ExitStack() as bound:
        for setting in _LISTENERS:
            if getattr(settings, setting):
                bound.enter_context(bound_sockets(settings, setting))


def most_connections(settings: Settings) -> int:
    """Most connections that all ports have at once; gRPC counts those of each address of the host by themselves.

    Raises:
        SetupError: If gRPC's port cannot be had.
    """
    with bound_sockets(settings, "grpc_port") as of_grpc:
        listeners = 1 + len(of_grpc) + bool(settings.metrics_port)
    return listeners * settings.max_connections


@contextmanager
def bound_sockets(settings: Settings, setting: str) -> Iterator[list[socket.socket]]:
    """Sockets bound to a port at every address of the host, closed at the end.

    Args:
        settings: The host and the port.
        setting: Name of the port's setting.

    Raises:
        SetupError: If the port cannot be had; the message says which setting is to change.
    """
    port = getattr(settings, setting)
    try:
        sockets = listen(settings.host, port)
    except OSError as err:
        remedy = (
            "set --host to an address of this machine, or to :: for all of them"
            if is_elsewhere(err)
            else f"free it or set --{setting}"
        )
        raise SetupError(
            f"{_LISTENERS[setting]} cannot listen on {join_address(settings.host, port)} ({err.strerror}); {remedy}"
        ) from err
    with ExitStack() as opened:
        for each in sockets:
            opened.enter_context(each)
        yield sockets


def bind_grpc(server: "grpc.aio.Server", settings: Settings) -> None:
    """Bind a gRPC server to its port, at every address of the host.

    Raises:
        SetupError: If the port cannot be had.
    """
    with bound_sockets(settings, "grpc_port"):
        pass  # gRPC itself does not say why it cannot listen
    address = join_address(settings.host, settings.grpc_port)
    try:
        server.add_insecure_port(address)
    except RuntimeError as err:
        raise SetupError(f"gRPC cannot listen on {address} ({err}); free it or set --grpc_port") from err
