"""gRPC reflection: the services and messages of this server, for `grpcurl` and other tools without files of them.

Version 1 of the protocol has the messages of version 1 alpha under another name, so that one answers both.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection, reflection_pb2  # type: ignore[import-untyped]

from crowdserve.errors import Overloaded
from crowdserve_transformer.transport.rpc.calls import answering_errors, parsed
from crowdserve_transformer.transport.rpc.health import HEALTH_SERVICE
from crowdserve_transformer.transport.rpc.protocol import FILES, SERVICE
from crowdserve_transformer.transport.rpc.reading import READERS, MessageReaders

ALPHA_SERVICE = reflection.SERVICE_NAME
REFLECTION_SERVICES = ("grpc.reflection.v1.ServerReflection", ALPHA_SERVICE)

CALLERS = READERS
"""Most callers at once, each of which may ask as often as it likes: all of them may wait with a message."""

LONGEST_SECONDS = 15.0
"""Longest time of one call: less than a stop waits."""


class ReflectionEndpoints:
    """The one method of the protocol."""

    def __init__(self) -> None:
        self._readers = MessageReaders(LONGEST_SECONDS)  # its own: probes do not wait for callers that stay
        self._servicer = reflection.aio.ReflectionServicer((SERVICE, HEALTH_SERVICE, ALPHA_SERVICE), _Described())
        self._callers = 0

    @answering_errors
    async def ServerReflectionInfo(self, messages: AsyncIterator[bytes], context: Any) -> None:
        """Describe what is asked for, message by message."""
        if self._callers >= CALLERS:
            raise Overloaded(f"{CALLERS} callers ask already; try again later")
        self._callers += 1
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                async for answer in self._servicer.ServerReflectionInfo(self._questions(messages), context):
                    await context.write(answer)
        except TimeoutError:
            pass  # a caller that wants more calls again
        finally:
            self._callers -= 1

    async def _questions(self, messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        while (sent := await self._readers.read(anext(messages, None))) is not None:
            yield parsed(sent, reflection_pb2.ServerReflectionRequest)


class _Described:
    """The files of every service that is listed, apart from those that the SDK has under the same names."""

    def __init__(self) -> None:
        self._pool = DescriptorPool()
        for file in (*FILES, health_pb2.DESCRIPTOR.serialized_pb, reflection_pb2.DESCRIPTOR.serialized_pb):
            self._pool.AddSerializedFile(file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        """The file of a symbol; a method's too, which the library's pool does not find.

        Raises:
            KeyError: If no file has it.
        """
        service, _, method = symbol.rpartition(".")
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindServiceByName(service).methods_by_name[method].containing_service.file
