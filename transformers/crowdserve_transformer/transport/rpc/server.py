"""The gRPC server: its limits, and the methods that it has."""

from typing import Any

import grpc  # type: ignore[import-untyped]

from crowdserve_transformer.ports import bind_grpc
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.rpc.protocol import SERVICE, methods
from crowdserve_transformer.transport.rpc.service import GrpcEndpoints

_STREAMS_PER_CONNECTION = 32
_HEALTH_CALLS = 64
"""Calls beside inference, such as probes, that are answered while every place is taken."""

_PING_MILLISECONDS = 500
"""Shortest time between two pings of a client that waits; one that pings faster is told to go away."""


def create_server(plane: CrowdDataPlane) -> grpc.aio.Server:
    """A gRPC server, bound to its port and not yet started.

    Raises:
        SetupError: If the port cannot be used.
    """
    settings = plane.model.settings
    server = grpc.aio.server(options=_options(settings), maximum_concurrent_rpcs=settings.max_waiting + _HEALTH_CALLS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, _handlers(GrpcEndpoints(plane))),))
    bind_grpc(server, settings)
    return server


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.per_message_decompression", 0),  # see `compression`
        ("grpc.so_reuseport", 0),
        ("grpc.max_metadata_size", settings.max_header_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_header_bytes),
        ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
        ("grpc.http2.bdp_probe", 0),  # the first window stays small: nobody may be reading
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_MILLISECONDS),
        ("grpc.max_connection_idle_ms", 600_000),
        ("grpc.server_handshake_timeout_ms", round(1000 * settings.header_timeout_seconds)),
    ]


def _handlers(endpoints: GrpcEndpoints) -> dict[str, Any]:
    """Every method takes its message as it arrives: it is read in turn, and looked at before protobuf does."""
    return {
        name: grpc.stream_unary_rpc_method_handler(
            getattr(endpoints, name), response_serializer=response.SerializeToString
        )
        for name, (_, response) in methods().items()
    }
