import gzip
import zlib

import grpc
import numpy as np
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from hypothesis import given
from hypothesis import strategies as st
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from crowdserve.errors import InvalidRequest
from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.transport.rpc.calls import parsed
from crowdserve_transformer.transport.rpc.compression import coding_of
from crowdserve_transformer.transport.rpc.protocol import message_class, methods
from tests.support.photos import expected_count

METHOD = "/inference.GRPCInferenceService/ModelInfer"
_names = st.text(max_size=40)


@given(name=_names, version=_names, identifier=_names, raw=st.lists(st.binary(max_size=50), max_size=3))
def test_no_message_looks_like_a_compressed_one(name: str, version: str, identifier: str, raw: list[bytes]) -> None:
    message = pb.ModelInferRequest(model_name=name, model_version=version, id=identifier, raw_input_contents=raw)
    serialized = message.SerializeToString()
    assert coding_of(serialized) is None
    message.ClearField("model_name")
    assert coding_of(message.SerializeToString()) is None
    assert coding_of(gzip.compress(serialized)) == "gzip"
    for level in range(10):
        assert coding_of(zlib.compress(serialized, level)) == "deflate"


def test_no_field_that_a_message_may_begin_with_looks_like_a_compressed_one() -> None:
    """A tag is the field's number and one of three wire types; zlib's header ends in 8, gzip's is 0x1f."""
    requests = [*(request for request, _ in methods().values()), HealthCheckRequest, ServerReflectionRequest]
    for field in [field for request in requests for field in request.DESCRIPTOR.fields]:
        is_varint = field.type not in {field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_MESSAGE}
        assert field.number < 16
        assert not (is_varint and field.number % 2), field.full_name


class TestSmallMessages:
    READY = message_class("ModelReadyRequest")

    @pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress])
    def test_compressed_or_not(self, pack: object) -> None:
        sent = pack(self.READY(name="crowdserve").SerializeToString())
        assert parsed(sent, self.READY).name == "crowdserve"

    @pytest.mark.parametrize(
        "sent",
        [
            b"\x0a\xff",
            b"\x0a\xd0\x0f" + b"a" * 2000 + b"\x0a" * 20_000,
            gzip.compress(bytes(10**6)),
            gzip.compress(READY(name="crowdserve").SerializeToString()) + gzip.compress(b"") * 900,
            gzip.compress(b"\x0a\x01a")[:-1],
            zlib.compress(b"\xff" * 9),
        ],
        ids=["broken", "long", "bomb", "many files", "cut", "broken inside"],
    )
    def test_others_are_refused(self, sent: bytes) -> None:
        with pytest.raises(InvalidRequest, match=r"not a ModelReadyRequest of at most 16,384 bytes|ends early"):
            parsed(sent, self.READY)


def counted(service: EmbeddedService, compression: grpc.Compression, **choices: bool) -> tuple[bytes, float]:
    """A call's answer as it is on the wire, and the count in it; pixels, since a client sends a photo as it is."""
    pixels = np.full((1, 480, 640, 3), 200, np.uint8)
    request = pb.ModelInferRequest(
        model_name="crowdserve",
        inputs=[pb.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=pixels.shape)],
        raw_input_contents=[pixels.tobytes()],
        parameters={name: pb.InferParameter(bool_param=value) for name, value in choices.items()},
    )
    as_it_is = [("grpc.per_message_decompression", 0)]
    with grpc.insecure_channel(service.grpc_url, options=as_it_is, compression=compression) as channel:
        sent = channel.unary_unary(METHOD, pb.ModelInferRequest.SerializeToString)(request, timeout=60)
    unpack = {None: bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}[coding_of(sent)]
    response = pb.ModelInferResponse.FromString(unpack(sent))
    assert response.outputs[0].name == "count"
    return sent, float(np.frombuffer(response.raw_output_contents[0], "<f4")[0])


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("compression", "coding"),
    [(grpc.Compression.NoCompression, None), (grpc.Compression.Gzip, "gzip"), (grpc.Compression.Deflate, "deflate")],
)
def test_an_answer_is_compressed_as_its_request_was(
    small_service: EmbeddedService, compression: grpc.Compression, coding: str | None
) -> None:
    sent, count = counted(small_service, compression, density=True)
    assert coding_of(sent) == coding
    assert (len(sent) < 60 * 80 * 4) is (coding is not None)
    assert count == pytest.approx(expected_count(width=640, height=480), rel=1e-5)


@pytest.mark.e2e
def test_a_short_answer_is_sent_as_it_is(small_service: EmbeddedService) -> None:
    sent, count = counted(small_service, grpc.Compression.Gzip)
    assert coding_of(sent) is None
    assert count == pytest.approx(expected_count(width=640, height=480), rel=1e-5)
