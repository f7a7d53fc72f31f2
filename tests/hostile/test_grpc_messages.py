"""gRPC messages that would become far more than they are."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from crowdserve.errors import InvalidRequest
from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.transport.rpc.message import split_message
from tests.support.attacks import seconds_of_photo, watched
from tests.support.http2 import HostileGrpcClient
from tests.support.photos import gray_photo

pytestmark = pytest.mark.e2e

MIB = 2**20
METHOD = "/inference.GRPCInferenceService/ModelInfer"
timed = pytest.mark.skipif(not os.environ.get("CROWDSERVE_HOSTILE_TEST"), reason="make hostile-test")


def call(service: EmbeddedService, message: bytes, *metadata: tuple[str, str | bytes]) -> Any:
    with grpc.insecure_channel(service.grpc_url, options=[("grpc.max_metadata_size", 2**20)]) as channel:
        return channel.unary_unary(METHOD)(message, timeout=60, metadata=metadata)


def refusal(service: EmbeddedService, message: bytes, *metadata: tuple[str, str | bytes]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(service, message, *metadata)
    return caught.value


def request(datatype: str = "BYTES", shape: tuple[int, ...] = (1,), **fields: Any) -> pb.ModelInferRequest:
    image = pb.ModelInferRequest.InferInputTensor(name="image", datatype=datatype, shape=shape)
    return pb.ModelInferRequest(**{"model_name": "crowdserve", "inputs": [image], **fields})


def typed(datatype: str, shape: tuple[int, ...] = (1,), **contents: Any) -> bytes:
    message = request(datatype, shape)
    for name, values in contents.items():
        getattr(message.inputs[0].contents, name).extend(values)
    return message.SerializeToString()


def raw(file: bytes) -> bytes:
    return len(file).to_bytes(4, "little") + file


def varint_field(number: int, payload: bytes) -> bytes:
    length, head = len(payload), b""
    while length > 127:
        head, length = head + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + head + bytes([length]) + payload


def packed_ones(field: int, number: int) -> bytes:
    """A request with so many numbers 1 in a field of its tensor's contents."""
    contents = varint_field(5, varint_field(field, b"\x01" * number))
    return varint_field(1, b"crowdserve") + varint_field(
        5, varint_field(1, b"image") + varint_field(2, b"UINT8") + contents
    )


def test_ordinary_messages_are_answered(small_service: EmbeddedService) -> None:
    photo = gray_photo()
    for message in (
        request(raw_input_contents=[raw(photo)]).SerializeToString(),
        typed("BYTES", bytes_contents=[photo]),
        typed("UINT8", (1, 80, 96, 3), uint_contents=[200] * (80 * 96 * 3)),
    ):
        assert pb.ModelInferResponse.FromString(call(small_service, message)).model_name == "crowdserve"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (packed_ones(4, 6_000_000), "over 5,000,000 bytes beside files"),
        (packed_ones(1, 6_000_000), "over 5,000,000 bytes beside files"),
        (varint_field(1, b"c" * 6_000_000), "over 5,000,000 bytes beside files"),
        (varint_field(5, varint_field(3, b"\x01" * 6_000_000)), "over 5,000,000 bytes beside files"),
        (b"\x20\x01" * 20_000, "over 10,000 fields"),
        (varint_field(7, b"") * 20_000, "over 10,000 fields"),
        (varint_field(5, b"") * 20_000, "over 10,000 fields"),
        (varint_field(5, varint_field(5, varint_field(8, b"") * 20_000)), "over 10,000 fields"),
        (typed("BYTES", bytes_contents=[b""] * 17), "17 images in one request"),
        (request(raw_input_contents=[b"\0\0\0\0" * 1_000_000]).SerializeToString(), "17 images in one request"),
        (typed("UINT8", (1, 1, 1, 3), uint_contents=[1, 2, 256]), "outside 0 to 255"),
        (request(shape=(1,) * 1000, raw_input_contents=[b""]).SerializeToString(), "has shape [1, 1, 1, 1"),
        (request(id="a" * 200, raw_input_contents=[b""]).SerializeToString(), "'id' is 'aaa"),
        (request(datatype="x" * 5000, raw_input_contents=[b""]).SerializeToString(), "has datatype 'XXX"),
        (b"\x0a\xff", "in the middle of a field"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "in the middle of a field"),
        (b"\x0f", "not a ModelInferRequest"),
        (varint_field(1, b"\xff\xfe"), "not a ModelInferRequest"),
        (b"", "does not exist"),
    ],
)
def test_message_is_refused_before_it_costs_anything(small_service: EmbeddedService, message: bytes, text: str) -> None:
    error = refusal(small_service, message)
    assert error.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}, error
    assert text in error.details()
    assert len(error.details()) < 700


def test_message_is_split_without_loss() -> None:
    message = request(raw_input_contents=[raw(b"abc"), b"defg"], id="an id")
    rest, found = split_message(message.SerializeToString())
    assert [bytes(content) for content in found] == [raw(b"abc"), b"defg"]
    message.ClearField("raw_input_contents")
    assert pb.ModelInferRequest.FromString(rest) == message


@pytest.mark.parametrize("length", range(30))
def test_cut_message_is_refused_or_read(length: int) -> None:
    whole = request(raw_input_contents=[raw(b"abc")], id="an id").SerializeToString()
    with suppress(InvalidRequest):
        rest, _ = split_message(whole[:length])
        assert len(rest) <= length


def test_long_metadata_are_refused(small_service: EmbeddedService) -> None:
    message = request(raw_input_contents=[raw(gray_photo())]).SerializeToString()
    assert refusal(small_service, message, ("a", "b" * 40_000)).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    for value in ("b" * 9000, "x" * 129):
        assert call(small_service, message, ("x-request-id", value), ("traceparent", value), ("x-bin", b"\xff"))


@timed
@pytest.mark.parametrize(
    "make",
    [
        lambda: packed_ones(4, 16 * MIB),
        lambda: packed_ones(4, 4_900_000),
        lambda: typed("UINT8", (1, 769, 1024, 3), uint_contents=[200] * (1024 * 768 * 3)),
        lambda: request(raw_input_contents=[raw(b"x" * (60 * MIB))]).SerializeToString(),
        lambda: varint_field(7, b"") * (20 * MIB),
    ],
    ids=["16 MiB of numbers", "allowed numbers", "photo", "file", "fields"],
)
def test_others_are_answered_meanwhile(small_service: EmbeddedService, make: Callable[[], bytes]) -> None:
    before = seconds_of_photo(small_service.http_url)
    with watched(small_service.http_url, small_service.transformer.pid) as watch:
        for _ in range(3):
            assert refusal(small_service, make()).code() == grpc.StatusCode.INVALID_ARGUMENT
        beside = seconds_of_photo(small_service.http_url)
    print(f"{watch.gap_seconds:.2f} s, {watch.grown_bytes / MIB:.0f} MiB")
    assert watch.gap_seconds < 0.6
    assert watch.grown_bytes < 600 * MIB  # the core's copy, Python's, the file's, and what the allocator keeps
    assert beside < before + 2
    assert not watch.failures


@timed
@pytest.mark.parametrize("method", [METHOD, METHOD.replace("ModelInfer", "ModelStreamInfer")])
def test_eight_connections_of_unfinished_messages(small_service: EmbeddedService, method: str) -> None:
    """gRPC's core keeps what has arrived: no more of it than a few messages, and others are answered meanwhile."""
    photo = request(raw_input_contents=[raw(gray_photo())]).SerializeToString()
    call(small_service, photo)
    clients = [HostileGrpcClient(small_service.grpc_url, method) for _ in range(8)]
    with watched(small_service.http_url, small_service.transformer.pid) as watch, ThreadPoolExecutor(8) as threads:

        def attack(client: HostileGrpcClient) -> int:
            sent = 0
            with suppress(OSError):
                for stream in range(1, 9, 2):
                    client.open_stream(stream, 60 * MIB)
                    sent += client.send_all_it_may(stream, 59 * MIB, 2.0)
            return sent

        attacks = [threads.submit(attack, client) for client in clients]
        slowest = 0.0
        while not all(done.done() for done in attacks):
            start = time.monotonic()
            call(small_service, photo)
            slowest = max(slowest, time.monotonic() - start)
        sent = sum(done.result() for done in attacks)
    for client in clients:
        client.close()
    print(f"{sent / MIB:.0f} MiB sent, {watch.grown_bytes / MIB:.0f} MiB grown, photo {slowest:.2f} s")
    assert sent > 200 * MIB
    assert watch.grown_bytes < 700 * MIB
    assert slowest < 3
    assert not watch.failures


@pytest.mark.parametrize("datatype", ["bytes", "Uint8", "fp32", "\u017f"])
def test_no_spelling_of_a_datatype_is_a_failure_of_the_service(datatype: str, small_service: EmbeddedService) -> None:
    message = request(datatype, raw_input_contents=[raw(b"no image")]).SerializeToString()
    assert refusal(small_service, message).code() is grpc.StatusCode.INVALID_ARGUMENT


def test_datatype_in_lower_case_is_understood(small_service: EmbeddedService) -> None:
    message = request("bytes", raw_input_contents=[raw(gray_photo())]).SerializeToString()
    assert pb.ModelInferResponse.FromString(call(small_service, message)).outputs
