"""The gRPC endpoints: KServe's v2 protocol, which is also Triton's."""

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import grpc  # type: ignore[import-untyped]
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from kserve.protocol.infer_type import RequestedOutput

from crowdserve.errors import InvalidRequest, SetupError
from crowdserve_transformer.counting.request import request_id
from crowdserve_transformer.transport.codec import from_raw, to_raw
from crowdserve_transformer.transport.dataplane import CrowdDataPlane
from crowdserve_transformer.transport.error_responses import failure_of
from crowdserve_transformer.transport.json_data import pixels_of

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
        ]
    )
    add_GRPCInferenceServiceServicer_to_server(GrpcEndpoints(plane), server)
    try:
        server.add_insecure_port(f"{settings.host}:{settings.grpc_port}")
    except RuntimeError as err:
        raise SetupError(
            f"gRPC cannot listen on {settings.host}:{settings.grpc_port}; free it or set --grpc_port"
        ) from err
    return server


def decode_grpc(message: pb.ModelInferRequest) -> InferRequest:
    """Decode a v2 gRPC request; see `codec` for the form of an input's `data`.

    Raises:
        InvalidRequest: If raw and typed contents are mixed up.
    """
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InvalidRequest(f"{len(message.inputs)} inputs but {len(raw)} raw_input_contents; send one per input")
    inputs = []
    for index, tensor in enumerate(message.inputs):
        if raw and tensor.HasField("contents"):
            raise InvalidRequest(f"input {tensor.name!r} has both contents and raw_input_contents; send one of them")
        data = from_raw(tensor.datatype, raw[index]) if raw else _typed(tensor)
        inputs.append(InferInput(tensor.name, list(tensor.shape), tensor.datatype, data))
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


def _typed(tensor: Any) -> Any:
    if tensor.datatype == "BYTES":
        return list(tensor.contents.bytes_contents)
    if tensor.datatype == "UINT8":
        return pixels_of(list(tensor.contents.uint_contents))
    return None


def _answering_errors(method: _Method) -> _Method:
    @wraps(method)
    async def answer(self: Any, request: Any, context: Any) -> Any:
        try:
            return await method(self, request, context)
        except Exception as err:
            failure = failure_of(err, _id_of(request, context))
        return await context.abort(getattr(grpc.StatusCode, failure.grpc_code), failure.message)

    return answer


class GrpcEndpoints(GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated code is untyped
    """One method per endpoint, named by the protocol."""

    def __init__(self, plane: CrowdDataPlane) -> None:
        self._plane = plane

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
    async def ModelInfer(self, request: Any, context: Any) -> Any:
        """v2 inference."""
        self._plane.require(request.model_name, request.model_version)
        with self._plane.observed("v2-grpc", _id_of(request, context)) as seen:
            return await self._plane.answer(seen, _headers(context), lambda: decode_grpc(request), encode_grpc)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        """Not offered: a caller must not change the served models."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "models are loaded by the operator")

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        """Not offered, like loading."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "models are unloaded by the operator")


def _headers(context: Any) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _id_of(request: Any, context: Any) -> str:
    return request_id(getattr(request, "id", None), _headers(context))
