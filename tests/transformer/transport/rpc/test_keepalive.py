"""Clients that wait for a slow answer, and ping meanwhile."""

import time
from collections.abc import Iterator

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from crowdserve.local.service import EmbeddedService
from tests.support.photos import gray_photo

pytestmark = pytest.mark.e2e

METHOD = "/inference.GRPCInferenceService/ModelInfer"
PING_SECONDS = 0.6
PINGING = [
    ("grpc.keepalive_time_ms", round(1000 * PING_SECONDS)),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
"""More often than clients of gRPC ping by themselves, as a rule once in ten seconds at most."""


def slowly(photo: bytes) -> Iterator[bytes]:
    """A request that the service waits for: as long as a client waits for a slow answer."""
    time.sleep(9 * PING_SECONDS)  # the core sends a client away that pings too often after seven
    image = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    raw = [len(photo).to_bytes(4, "little") + photo]
    yield pb.ModelInferRequest(model_name="crowdserve", inputs=[image], raw_input_contents=raw).SerializeToString()


def test_pings_are_answered_with_and_without_a_call(small_service: EmbeddedService) -> None:
    states: list[grpc.ChannelConnectivity] = []
    with (
        grpc.insecure_channel(small_service.grpc_url, options=PINGING) as waiting,
        grpc.insecure_channel(small_service.grpc_url, options=[*PINGING, ("grpc.channel", 2)]) as idle,
    ):
        idle.subscribe(states.append, try_to_connect=True)
        answer = waiting.stream_unary(METHOD)(slowly(gray_photo()), timeout=60)
        assert pb.ModelInferResponse.FromString(answer).model_name == "crowdserve"
        idle.unsubscribe(states.append)
    assert states[-1] == grpc.ChannelConnectivity.READY
    assert grpc.ChannelConnectivity.TRANSIENT_FAILURE not in states
    assert states.count(grpc.ChannelConnectivity.READY) == 1
