"""What every gRPC method does around its own work: reads one message, turns errors into status codes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from functools import wraps
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from crowdserve.errors import InvalidRequest
from crowdserve_transformer.counting.request import request_id
from crowdserve_transformer.transport.caller_headers import known_headers
from crowdserve_transformer.transport.error_responses import failure_of
from crowdserve_transformer.transport.inflation import Inflater
from crowdserve_transformer.transport.rpc.compression import coding_of
from crowdserve_transformer.transport.rpc.protocol import methods

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""The id of the call that a task answers."""

_MAX_SMALL_BYTES = 16 * 2**10
"""Largest message of a method that takes names only."""

_REQUESTS = {name: request for name, (request, _) in methods().items()}
_Method = Callable[[Any, Any, Any], Awaitable[Any]]


def answering_errors(method: _Method) -> _Method:
    """A method that ends with a status code and the text for the caller if it fails."""

    @wraps(method)
    async def answer(self: Any, messages: Any, context: Any) -> Any:
        REQUEST_ID.set(request_id(None, headers_of(context)))
        try:
            return await method(self, messages, context)
        except grpc.aio.AbortError:
            raise  # the method has told the caller
        except Exception as err:
            failure = failure_of(err, REQUEST_ID.get())
        if failure.retry_after_seconds is not None:
            milliseconds = max(1000, round(1000 * failure.retry_after_seconds))
            context.set_trailing_metadata(
                (("retry-after", str(-(-milliseconds // 1000))), ("grpc-retry-pushback-ms", str(milliseconds)))
            )
        return await context.abort(getattr(grpc.StatusCode, failure.grpc_code), failure.message)

    return answer


def taking(message_class: Any) -> Callable[[_Method], _Method]:
    """A method that takes one small message: it gets the message, not what it comes from."""

    def decorate(method: _Method) -> _Method:
        @answering_errors
        @wraps(method)
        async def answer(self: Any, messages: AsyncIterator[bytes], context: Any) -> Any:
            sent = await self.readers.read(anext(messages, b""))
            return await method(self, parsed(sent, message_class), context)

        return answer

    return decorate


def taking_names(method: _Method) -> _Method:
    """A method of the inference protocol whose message is small."""
    return taking(_REQUESTS[method.__name__])(method)


def parsed(sent: bytes, message_class: Any) -> Any:
    """A small message.

    Raises:
        InvalidRequest: If it is not small, or not such a message.
    """
    try:
        if len(sent) <= _MAX_SMALL_BYTES:  # before it is inflated, which may take long without making anything
            coding = coding_of(sent)
            message = b"".join(_limited(Inflater(coding), sent)) if coding else sent
            if len(message) <= _MAX_SMALL_BYTES:
                return message_class.FromString(message)
    except DecodeError:
        pass
    raise InvalidRequest(f"the message is not a {message_class.DESCRIPTOR.name} of at most {_MAX_SMALL_BYTES:,} bytes")


def _limited(inflater: Inflater, sent: bytes) -> Iterator[bytes]:
    """The pieces of a compressed message, until they are too many."""
    made_bytes = 0
    for piece in inflater.pieces(sent):
        yield piece
        made_bytes += len(piece)
        if made_bytes > _MAX_SMALL_BYTES:
            return
    inflater.finish()


def headers_of(context: Any) -> dict[str, str]:
    """The call's metadata with a meaning here."""
    return known_headers((key, value) for key, value in context.invocation_metadata() or () if isinstance(value, str))
