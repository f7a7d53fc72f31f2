"""The gRPC server: its limits, and the methods that it has."""

from typing import Any

import grpc  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]

from crowdserve_transformer.ports import bind_grpc
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.rpc.health import HEALTH_SERVICE, HealthEndpoints
from crowdserve_transformer.transport.rpc.protocol import SERVICE, methods, streamed
from crowdserve_transformer.transport.rpc.reflection import REFLECTION_SERVICES, ReflectionEndpoints
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
    endpoints = GrpcEndpoints(plane)
    health, reflection = HealthEndpoints(plane, endpoints.readers), ReflectionEndpoints()
    handlers = {
        SERVICE: _inference(endpoints),
        HEALTH_SERVICE: _health(health),
        **dict.fromkeys(REFLECTION_SERVICES, _reflection(reflection)),
    }
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, each) for name, each in handlers.items())
    )
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
        ("grpc.max_allowed_incoming_connections", settings.max_connections),  # of each address of the host
        ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
        ("grpc.http2.bdp_probe", 0),  # the first window stays small: nobody may be reading
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_MILLISECONDS),
        ("grpc.max_connection_idle_ms", 600_000),
        ("grpc.server_handshake_timeout_ms", round(1000 * settings.header_timeout_seconds)),
    ]


# Every method takes its message as it arrives: it is read in turn, and looked at before protobuf does.


def _inference(endpoints: GrpcEndpoints) -> dict[str, Any]:
    one, many = grpc.stream_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
    return {
        name: (many if name in streamed() else one)(
            getattr(endpoints, name), response_serializer=response.SerializeToString
        )
        for name, (_, response) in methods().items()
    }


def _health(endpoints: HealthEndpoints) -> dict[str, Any]:
    serialize = health_pb2.HealthCheckResponse.SerializeToString
    return {
        "Check": grpc.stream_unary_rpc_method_handler(endpoints.Check, response_serializer=serialize),
        "Watch": grpc.stream_stream_rpc_method_handler(endpoints.Watch, response_serializer=serialize),
    }


def _reflection(endpoints: ReflectionEndpoints) -> dict[str, Any]:
    serialize = reflection_pb2.ServerReflectionResponse.SerializeToString
    method = grpc.stream_stream_rpc_method_handler(endpoints.ServerReflectionInfo, response_serializer=serialize)
    return {"ServerReflectionInfo": method}
