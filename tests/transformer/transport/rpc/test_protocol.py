"""The messages: Triton's, and on the wire KServe's too."""

from typing import Any

import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as kserve_pb

from crowdserve_transformer.transport.rpc.protocol import SERVICE, message_class, methods
from crowdserve_transformer.transport.rpc.service import GrpcEndpoints

KSERVE = kserve_pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
SHARED = sorted(methods().keys() & {method.name for method in KSERVE.methods})


def fields_of(descriptor: Any, seen: set[str]) -> set[tuple[Any, ...]]:
    """Name, number, type and multiplicity of every field of a message and of those inside of it."""
    if descriptor.full_name in seen:
        return set()
    seen.add(descriptor.full_name)
    found = set()
    for field in descriptor.fields:
        found.add((descriptor.full_name, field.name, field.number, field.type, field.is_repeated))
        if field.message_type is not None:
            found |= fields_of(field.message_type, seen)
    return found


def test_every_method_has_an_endpoint_and_none_is_without() -> None:
    assert set(methods()) == {name for name in vars(GrpcEndpoints) if name[0].isupper()}
    assert KSERVE.full_name == SERVICE
    assert len(SHARED) == 6


@pytest.mark.parametrize("name", SHARED)
def test_messages_hold_every_field_of_kserves(name: str) -> None:
    method = KSERVE.methods_by_name[name]
    for ours, theirs in zip(methods()[name], (method.input_type, method.output_type), strict=True):
        assert fields_of(theirs, set()) <= fields_of(ours.DESCRIPTOR, set())


def test_messages_are_not_those_of_the_default_pool() -> None:
    assert message_class("ModelInferRequest") is not kserve_pb.ModelInferRequest
    sent = kserve_pb.ModelInferRequest(model_name="crowdserve", raw_input_contents=[b"abc"])
    assert message_class("ModelInferRequest").FromString(sent.SerializeToString()).raw_input_contents == [b"abc"]
