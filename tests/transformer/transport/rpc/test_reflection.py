"""Reflection, by the library's own client: what it describes is enough to call the service without any file."""

import threading
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.transport.rpc.protocol import methods
from crowdserve_transformer.transport.rpc.reflection import CALLERS, REFLECTION_SERVICES

pytestmark = pytest.mark.e2e

SERVICES = ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "inference.GRPCInferenceService"]


def ask(channel: Any, service: str, *questions: Any) -> list[Any]:
    """The answers to questions of reflection, by either version of the protocol."""
    call = channel.stream_stream(
        f"/{service}/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    return list(call(iter(questions), timeout=60))


def test_every_method_can_be_called_by_what_reflection_says(small_service: EmbeddedService) -> None:
    with grpc.insecure_channel(small_service.grpc_url) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert sorted(database.get_services()) == SERVICES
        pool = DescriptorPool(database)
        service = pool.FindServiceByName("inference.GRPCInferenceService")
        assert [method.name for method in service.methods] == list(methods())
        config = service.methods_by_name["ModelConfig"]
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelConfig",
            GetMessageClass(config.input_type).SerializeToString,
            GetMessageClass(config.output_type).FromString,
        )
        found = call(GetMessageClass(config.input_type)(name="crowdserve"), timeout=60)
    assert found.config.max_batch_size == 16


@pytest.mark.parametrize("service", REFLECTION_SERVICES)
def test_both_versions_answer_several_questions(small_service: EmbeddedService, service: str) -> None:
    request = reflection_pb2.ServerReflectionRequest
    with grpc.insecure_channel(small_service.grpc_url) as channel:
        listed, symbol, method, unknown, no_method = ask(
            channel,
            service,
            request(list_services=""),
            request(file_containing_symbol="inference.ModelStatistics"),
            request(file_containing_symbol="inference.GRPCInferenceService.ModelInfer"),
            request(file_containing_symbol="other.Thing"),
            request(file_containing_symbol="inference.GRPCInferenceService.Train"),
        )
    assert [each.name for each in listed.list_services_response.service] == SERVICES
    assert symbol.file_descriptor_response.file_descriptor_proto
    assert method.file_descriptor_response.file_descriptor_proto
    assert {each.error_response.error_code for each in (unknown, no_method)} == {grpc.StatusCode.NOT_FOUND.value[0]}


def test_what_is_no_question_is_refused(small_service: EmbeddedService) -> None:
    path = f"/{REFLECTION_SERVICES[0]}/ServerReflectionInfo"
    with grpc.insecure_channel(small_service.grpc_url) as channel, pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream(path)(iter([b"\xff\xff"]), timeout=60))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_callers_that_stay_are_few(small_service: EmbeddedService) -> None:
    """Each has asked once and waits; others are told so, and probes do not wait for them."""
    path, done = f"/{REFLECTION_SERVICES[0]}/ServerReflectionInfo", threading.Event()
    question = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()

    def staying() -> Any:
        yield question
        done.wait(10)

    with grpc.insecure_channel(small_service.grpc_url) as channel:
        calls = [channel.stream_stream(path)(staying(), timeout=60) for _ in range(CALLERS)]
        for call in calls:
            next(call)
        with pytest.raises(grpc.RpcError) as caught:
            list(channel.stream_stream(path)(iter([question]), timeout=60))
        assert HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60).status == 1
        done.set()
        for call in calls:
            call.cancel()
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
