"""Compressed gRPC messages, inflated within the memory for bodies.

gRPC's core would inflate them itself, as soon as they arrive and on the event loop: sixty messages of 60 kB took the
process to 2.5 GB. So it is told not to, and hands them over as they are. No message of this protocol begins like gzip
or zlib: those would be fields that it does not have.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crowdserve_transformer.transport.answer_coding import LEAST_BYTES
from crowdserve_transformer.transport.bodies import Bodies
from crowdserve_transformer.transport.inflation import Inflater, has_zlib_header

MOST_BYTES = 2**20
"""A larger answer is sent as it is: the core compresses on the event loop, at 30 MB per second."""

ENCODING_KEY = "grpc-internal-encoding-request"
"""Initial metadata that tell the core how to compress an answer: `set_compression` of grpc.aio has no effect on it."""

_GZIP = b"\x1f\x8b"


def coding_of(message: bytes) -> str | None:
    """How a message is compressed, by its first bytes; None if it is not."""
    if message.startswith(_GZIP):
        return "gzip"
    return "deflate" if len(message) > 1 and has_zlib_header(message) else None


@asynccontextmanager
async def inflated(message: bytes, bodies: Bodies) -> AsyncIterator[bytes | bytearray]:
    """A message as it was before it was compressed; memory is held for both forms while the block runs.

    Raises:
        ImageTooLarge: If it is over the limit of a body.
        InvalidRequest: If it cannot be inflated.
        Overloaded: If there is no memory for it.
    """
    coding = coding_of(message)
    with bodies.body(len(message)) as sent, bodies.body(None) as whole:
        await bodies.grow(sent, len(message))
        if coding is None:
            yield message
        else:
            await bodies.fill(whole, message, Inflater(coding))
            yield whole.take()


def is_worth_compressing(message_bytes: int) -> bool:
    """Whether an answer of that size is compressed for a caller that compressed its request."""
    return LEAST_BYTES <= message_bytes <= MOST_BYTES
