"""The gRPC endpoints: KServe's v2 protocol, which is also Triton's."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from kserve.protocol.infer_type import RequestedOutput

from crowdserve.errors import InvalidRequest, quoted
from crowdserve_transformer.budget import ANSWER
from crowdserve_transformer.counting.request import check_batch, request_id
from crowdserve_transformer.metrics import traffic_of
from crowdserve_transformer.ports import bind_grpc
from crowdserve_transformer.transport.caller_headers import known_headers
from crowdserve_transformer.transport.codec import from_raw, to_raw
from crowdserve_transformer.transport.dataplane import CrowdDataPlane, Observation
from crowdserve_transformer.transport.deadlines import deadline_of
from crowdserve_transformer.transport.error_responses import failure_of
from crowdserve_transformer.transport.grpc_message import split_message
from crowdserve_transformer.transport.grpc_reading import MessageReaders
from crowdserve_transformer.transport.json_data import pixels_of

_PIECE_VALUES = 2**16
_STREAMS_PER_CONNECTION = 32
_HEALTH_CALLS = 64
"""Calls beside inference, such as probes, that are answered while every place is taken."""

_request_id: ContextVar[str] = ContextVar("request_id")
"""The id of the call that a task answers."""

log = logging.getLogger(__name__)

_Method = Callable[[Any, Any, Any], Awaitable[Any]]


def create_server(plane: CrowdDataPlane) -> grpc.aio.Server:
    """A gRPC server, bound to its port and not yet started.

    Raises:
        SetupError: If the port cannot be used.
    """
    settings = plane.model.settings
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            ("grpc.max_metadata_size", settings.max_header_bytes),
            ("grpc.absolute_max_metadata_size", settings.max_header_bytes),
            ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
            ("grpc.http2.bdp_probe", 0),  # the first window stays small: nobody may be reading
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.max_connection_idle_ms", 600_000),
            ("grpc.server_handshake_timeout_ms", round(1000 * settings.header_timeout_seconds)),
        ],
        maximum_concurrent_rpcs=settings.max_waiting + _HEALTH_CALLS,
    )
    endpoints = GrpcEndpoints(plane)
    add_GRPCInferenceServiceServicer_to_server(endpoints, server)
    server.add_registered_method_handlers("inference.GRPCInferenceService", _own_handlers(endpoints))
    bind_grpc(server, settings)
    return server


def _own_handlers(endpoints: "GrpcEndpoints") -> dict[str, Any]:
    """ModelInfer without a deserializer, which would run on the event loop, and before its message has been read."""
    return {
        "ModelInfer": grpc.stream_unary_rpc_method_handler(
            endpoints.ModelInfer, response_serializer=pb.ModelInferResponse.SerializeToString
        )
    }


def decode_grpc(message: pb.ModelInferRequest, raw: Sequence[memoryview], max_files: int) -> InferRequest:
    """Decode a v2 gRPC request; see `codec` for the form of an input's `data`.

    Args:
        message: The message without its raw_input_contents.
        raw: Those.
        max_files: Most elements of a BYTES tensor.

    Raises:
        InvalidRequest: If raw and typed contents are mixed up.
        ImageTooLarge: If a tensor has more elements.
    """
    if raw and len(raw) != len(message.inputs):
        raise InvalidRequest(f"{len(message.inputs)} inputs but {len(raw)} raw_input_contents; send one per input")
    inputs = []
    for index, tensor in enumerate(message.inputs):
        if raw and tensor.HasField("contents"):
            raise InvalidRequest(
                f"input {quoted(tensor.name)} has both contents and raw_input_contents; send one of them"
            )
        datatype = tensor.datatype.upper()  # as the SDK does, and REST
        data = from_raw(datatype, raw[index], max_files) if raw else _typed(tensor, datatype, max_files)
        inputs.append(InferInput(tensor.name, list(tensor.shape), datatype, data))
    return InferRequest(
        model_name=message.model_name,
        infer_inputs=inputs,
        request_id=message.id or None,
        parameters={
            name: getattr(p, p.WhichOneof("parameter_choice") or "", None) for name, p in message.parameters.items()
        },
        request_outputs=[RequestedOutput(output.name) for output in message.outputs],
    )


def encode_grpc(response: InferResponse, request: InferRequest) -> pb.ModelInferResponse:
    """Encode a v2 gRPC response with raw contents."""
    described = [{"name": o.name, "datatype": o.datatype, "shape": o.shape} for o in response.outputs]
    return pb.ModelInferResponse(
        id=response.id,
        model_name=response.model_name,
        model_version=response.model_version,
        outputs=[pb.ModelInferResponse.InferOutputTensor(**tensor) for tensor in described],
        raw_output_contents=[to_raw(output) for output in response.outputs],
    )


def _typed(tensor: Any, datatype: str, max_files: int) -> Any:
    if datatype == "BYTES":
        files = tensor.contents.bytes_contents
        if len(files) > max_files:
            check_batch(len(files), max_files)
        return list(files)
    if datatype == "UINT8":
        values = tensor.contents.uint_contents
        pieces = range(0, max(1, len(values)), _PIECE_VALUES)
        return np.concatenate([pixels_of(values[start : start + _PIECE_VALUES]) for start in pieces])
    return None


def _answering_errors(method: _Method) -> _Method:
    @wraps(method)
    async def answer(self: Any, request: Any, context: Any) -> Any:
        _request_id.set(request_id(None, _headers(context)))
        try:
            return await method(self, request, context)
        except Exception as err:
            failure = failure_of(err, _request_id.get())
        if failure.retry_after_seconds is not None:
            milliseconds = max(1000, round(1000 * failure.retry_after_seconds))
            context.set_trailing_metadata(
                (("retry-after", str(-(-milliseconds // 1000))), ("grpc-retry-pushback-ms", str(milliseconds)))
            )
        return await context.abort(getattr(grpc.StatusCode, failure.grpc_code), failure.message)

    return answer


class GrpcEndpoints(GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated code is untyped
    """One method per endpoint, named by the protocol."""

    def __init__(self, plane: CrowdDataPlane) -> None:
        self._plane = plane
        self._readers = MessageReaders(plane.model.settings.request_timeout_seconds)

    async def ServerLive(self, request: Any, context: Any) -> Any:
        """Report that the process answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        """Whether the service would answer a request."""
        return pb.ServerReadyResponse(ready=await self._plane.ready())

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        """Name, version and extensions of the service."""
        return pb.ServerMetadataResponse(**self._plane.metadata())

    @_answering_errors
    async def ModelReady(self, request: Any, context: Any) -> Any:
        """Whether the model is ready."""
        self._plane.require(request.name, request.version)
        return pb.ModelReadyResponse(ready=await self._plane.model_ready(request.name))

    @_answering_errors
    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        """Tensors and versions of the model."""
        self._plane.require(request.name, request.version)
        metadata = await self._plane.model_metadata(request.name)
        del metadata["parameters"]  # the message has no field for it
        return pb.ModelMetadataResponse(**metadata)

    @_answering_errors
    async def ModelInfer(self, messages: Any, context: Any) -> Any:
        """v2 inference."""
        plane, headers = self._plane, _headers(context)
        with plane.observed("v2-grpc", _request_id.get(), _traffic(context)) as seen:
            plane.admission.check()
            request = await self._readers.read(anext(messages, b""))
            remaining = context.time_remaining()
            deadline = deadline_of(remaining, plane.model.settings.request_timeout_seconds)
            hold = plane.model.budget.answer()
            ANSWER.set(hold)
            context.add_done_callback(lambda _: hold.release())  # when the answer is sent, or given up
            with plane.bodies.body(len(request)) as body:
                await plane.bodies.grow(body, len(request))
                try:
                    return await plane.answer(
                        seen, headers, deadline, len(request), partial(self._decode, request, seen), encode_grpc
                    )
                except asyncio.CancelledError:
                    if deadline.of_caller and context.time_remaining() <= 0:
                        raise deadline.error() from None
                    raise

    def _decode(self, serialized: bytes, seen: Observation) -> InferRequest:
        rest, raw = split_message(serialized)
        try:
            message = pb.ModelInferRequest.FromString(rest)
        except DecodeError as err:
            raise InvalidRequest("the message is not a ModelInferRequest of the v2 protocol") from err
        self._plane.require(message.model_name, message.model_version)
        seen.request_id = request_id(message.id, {"x-request-id": seen.request_id})
        return decode_grpc(message, raw, self._plane.model.settings.max_batch_size)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        """Not offered: a caller must not change the served models."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "models are loaded by the operator")

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        """Not offered, like loading."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "models are unloaded by the operator")


def _traffic(context: Any) -> str:
    return traffic_of(key for key, _ in context.invocation_metadata() or ())


def _headers(context: Any) -> dict[str, str]:
    return known_headers((key, value) for key, value in context.invocation_metadata() or () if isinstance(value, str))
