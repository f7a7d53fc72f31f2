"""The methods of the gRPC protocol."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from kserve import InferRequest

from crowdserve.errors import InvalidRequest, quoted
from crowdserve_transformer.budget import ANSWER
from crowdserve_transformer.counting.request import request_id
from crowdserve_transformer.metrics import traffic_of
from crowdserve_transformer.transport.dataplane import CrowdDataPlane, Observation
from crowdserve_transformer.transport.deadlines import deadline_of
from crowdserve_transformer.transport.error_responses import failure_of
from crowdserve_transformer.transport.rpc.calls import REQUEST_ID, answering_errors, headers_of, taking_names
from crowdserve_transformer.transport.rpc.codec import decode_grpc, encode_grpc
from crowdserve_transformer.transport.rpc.compression import ENCODING_KEY, coding_of, inflated, is_worth_compressing
from crowdserve_transformer.transport.rpc.message import split_message
from crowdserve_transformer.transport.rpc.protocol import message_class, methods
from crowdserve_transformer.transport.rpc.reading import MessageReaders
from crowdserve_transformer.transport.rpc.streams import Streams

_NAMES_SECONDS = 5.0
"""Longest time that a message with a name may take to arrive."""

_ModelInferRequest = message_class("ModelInferRequest")
_StreamResponse = message_class("ModelStreamInferResponse")
_RESPONSES = {name: response for name, (_, response) in methods().items()}


class GrpcEndpoints:
    """One method per endpoint, named by the protocol.

    Attributes:
        readers: Read the messages of the methods that take names.
    """

    def __init__(self, plane: CrowdDataPlane) -> None:
        self._plane = plane
        self._infer_readers = MessageReaders(plane.model.settings.request_timeout_seconds)
        self._streams = Streams(plane.model.settings.request_timeout_seconds)
        self.readers = MessageReaders(_NAMES_SECONDS)

    @taking_names
    async def ServerLive(self, request: Any, context: Any) -> Any:
        """Report that the process answers."""
        return _RESPONSES["ServerLive"](live=True)

    @taking_names
    async def ServerReady(self, request: Any, context: Any) -> Any:
        """Whether the service would answer a request."""
        return _RESPONSES["ServerReady"](ready=await self._plane.ready())

    @taking_names
    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        """Name, version and extensions of the service."""
        return _RESPONSES["ServerMetadata"](**self._plane.metadata())

    @taking_names
    async def ModelReady(self, request: Any, context: Any) -> Any:
        """Whether the model is ready."""
        self._plane.require(request.name, request.version)
        return _RESPONSES["ModelReady"](ready=await self._plane.model_ready(request.name))

    @taking_names
    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        """Tensors and versions of the model."""
        self._plane.require(request.name, request.version)
        metadata = await self._plane.model_metadata(request.name)
        del metadata["parameters"]  # the message has no field for it
        return _RESPONSES["ModelMetadata"](**metadata)

    @taking_names
    async def ModelConfig(self, request: Any, context: Any) -> Any:
        """The model's configuration, as Triton describes a model."""
        self._plane.require(request.name, request.version)
        return ParseDict({"config": self._plane.config(request.name)}, _RESPONSES["ModelConfig"]())

    @taking_names
    async def ModelStatistics(self, request: Any, context: Any) -> Any:
        """Counts and durations of inference requests since the start."""
        name = request.name or self._plane.model.name
        return ParseDict(self._plane.model_statistics(name, request.version), _RESPONSES["ModelStatistics"]())

    @taking_names
    async def RepositoryIndex(self, request: Any, context: Any) -> Any:
        """The one model and its state."""
        if request.repository_name:
            raise InvalidRequest(f"repository_name is {quoted(request.repository_name)}; there is one without a name")
        models = await self._plane.repository_index(only_ready=request.ready)
        return ParseDict({"models": models}, _RESPONSES["RepositoryIndex"]())

    @answering_errors
    async def ModelInfer(self, messages: AsyncIterator[bytes], context: Any) -> Any:
        """v2 inference."""
        plane = self._plane
        with plane.observed("v2-grpc", REQUEST_ID.get(), _traffic(context)) as seen:
            plane.admission.check()
            sent = await self._infer_readers.read(anext(messages, b""))
            hold = plane.model.budget.answer()
            ANSWER.set(hold)
            context.add_done_callback(lambda _: hold.release())  # when the answer is sent, or given up
            response = await self._answer(sent, seen, context)
        coding = coding_of(sent)
        if coding and is_worth_compressing(response.ByteSize()):
            await context.send_initial_metadata(((ENCODING_KEY, coding),))
        return response

    @answering_errors
    async def ModelStreamInfer(self, messages: AsyncIterator[bytes], context: Any) -> None:
        """v2 inference, message by message, in order; the error of one is in its answer, and the stream goes on."""
        with self._streams.one(lambda: self._plane.model.draining) as stream:
            async for sent in stream.each(messages):
                hold = self._plane.model.budget.answer()
                ANSWER.set(hold)
                with hold:
                    answer = await self._streamed(sent, context)
                    del sent  # its bytes are no longer held of the budget, and the caller may not take the answer
                    await stream.send(context, answer)

    async def _streamed(self, sent: bytes, context: Any) -> Any:
        """The answer to a message of a stream."""
        plane, seen_id = self._plane, request_id(None, {})
        try:
            with plane.observed("v2-grpc", seen_id, _traffic(context)) as seen:
                plane.admission.check()
                response = await self._answer(sent, seen, context)
        except Exception as err:
            failed = _StreamResponse(error_message=failure_of(err, seen_id).message)
            failed.infer_response.id = seen.request_id
            return failed
        response.parameters["triton_final_response"].bool_param = True
        return _StreamResponse(infer_response=response)

    async def _answer(self, sent: bytes, seen: Observation, context: Any) -> Any:
        plane = self._plane
        deadline = deadline_of(context.time_remaining(), plane.model.settings.request_timeout_seconds)
        try:
            async with inflated(sent, plane.bodies) as message:
                decode = partial(self._decode, message, seen)
                return await plane.answer(seen, headers_of(context), deadline, len(message), decode, encode_grpc)
        except asyncio.CancelledError:
            if deadline.explains(context.time_remaining()):
                raise deadline.error() from None
            raise

    def _decode(self, serialized: bytes | bytearray, seen: Observation) -> InferRequest:
        rest, raw = split_message(serialized)
        try:
            message = _ModelInferRequest.FromString(rest)
        except DecodeError as err:
            raise InvalidRequest("the message is not a ModelInferRequest of the v2 protocol") from err
        seen.request_id = request_id(message.id, {"x-request-id": seen.request_id})
        self._plane.require(message.model_name, message.model_version)
        return decode_grpc(message, raw, self._plane.model.settings.max_batch_size)


def _traffic(context: Any) -> str:
    return traffic_of(key for key, _ in context.invocation_metadata() or ())
