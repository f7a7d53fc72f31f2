"""The functions under test, each with its seeds and with what one input may cost it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from kserve import InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from benchmarks.fuzz import seeds
from benchmarks.fuzz.own_memory import forget_peak, peak_bytes
from crowdserve.cards import MODEL_NAME
from crowdserve.errors import InvalidRequest
from crowdserve.images import decode_fitted, decode_image, decoding_bytes, opened
from crowdserve.protocol.headers import JSON_LENGTH_HEADER
from crowdserve_transformer.counting.request import read_request, request_id
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.codec import decode_rest
from crowdserve_transformer.transport.rpc.codec import decode_grpc
from crowdserve_transformer.transport.rpc.message import split_message
from crowdserve_transformer.transport.v1 import decode_v1

MAX_PIXELS = 1_000_000
"""Pixel limit of the trials: a header that promises more is refused, and one at the limit costs milliseconds."""

MAX_SIDE_PX = 512
"""A photo at the pixel limit is scaled down, as a large one is in serving."""

SLACK_BYTES = 8 << 20
"""Memory that the allocator may take beside what a header promises; a decoding process has 64 MiB."""

MAX_SECONDS = 2.0
MAX_GROWTH_BYTES = 64 << 20
"""A picture at the limit in the widest mode, some copies of it, and the input."""


@dataclass(frozen=True, slots=True)
class Target:
    """A function under test.

    Attributes:
        seeds: Makes the valid inputs.
        call: The function; returns if it accepts an input.
        max_seconds: Longest time for one input.
        max_growth_bytes: Most memory that one input may take, beside what the process had before.
    """

    seeds: Callable[[], list[bytes]]
    call: Callable[[bytes], object]
    max_seconds: float = MAX_SECONDS
    max_growth_bytes: int = MAX_GROWTH_BYTES


def _image(data: bytes) -> None:
    decode_image(data, max_pixels=MAX_PIXELS)


def _fitted(data: bytes) -> None:
    """Decode as the service does; the memory that the header promises is all that it may take."""
    with opened(data, max_pixels=MAX_PIXELS, max_whole_pixels=MAX_PIXELS) as image:
        promised = decoding_bytes(image, max_side_px=MAX_SIDE_PX)
        before = forget_peak()
        decode_fitted(image, max_side_px=MAX_SIDE_PX, with_scene=True)
    if (taken := peak_bytes() - before) > promised + SLACK_BYTES:
        raise MemoryError(f"{taken:,} bytes; the header promised {promised:,}")


def _v2(data: bytes) -> None:
    _read(decode_rest(data, {}, MODEL_NAME))


def _binary(data: bytes) -> None:
    length, _, body = data.partition(seeds.LENGTH_END)
    _read(decode_rest(body, {JSON_LENGTH_HEADER: length.decode("latin-1")}, MODEL_NAME))


def _v1(data: bytes) -> None:
    _read(decode_v1(data, MODEL_NAME, Settings().max_batch_size))


def _grpc(data: bytes) -> None:
    settings = Settings()
    rest, raw = split_message(data)
    try:
        message = pb.ModelInferRequest.FromString(rest)
    except DecodeError as err:  # the endpoint does the same
        raise InvalidRequest("not a message") from err
    request_id(message.id, {})
    _read(decode_grpc(message, raw, settings.max_batch_size))


def _read(request: InferRequest) -> None:
    read_request(request, Settings(), {})


TARGETS: Mapping[str, Target] = {
    "images": Target(seeds.files, _image),
    "fitted": Target(seeds.files, _fitted),
    "v2": Target(seeds.v2_messages, _v2),
    "v2-binary": Target(seeds.binary_messages, _binary),
    "v1": Target(seeds.v1_messages, _v1),
    "grpc": Target(seeds.grpc_messages, _grpc),
}
