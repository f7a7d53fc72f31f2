"""The transformer on IPv6 alone, and on both families at once."""

import socket

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from crowdserve.local.service import EmbeddedService
from crowdserve.network import join_address
from crowdserve_transformer.settings import Settings
from tests.support.photos import expected_count, gray_photo
from tests.support.relays import TritonRelay
from tests.support.requests import json_body, outputs_of
from tests.support.transformers import RunningTransformer, StartTransformer

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")]


def ports_of(running: RunningTransformer) -> dict[str, int]:
    urls = {"rest": running.http_url, "metrics": running.metrics_url, "grpc": f"grpc://{running.grpc_url}"}
    return {name: httpx.URL(url).port or 0 for name, url in urls.items()}


def check_serving(host: str, ports: dict[str, int], client: httpx.Client) -> None:
    """REST, metrics and gRPC answer at an IP address."""
    rest, metrics, grpc_address = (join_address(host, ports[name]) for name in ("rest", "metrics", "grpc"))
    reply = client.post(f"http://{rest}/v2/models/crowdserve/infer", json=json_body(gray_photo()))
    assert outputs_of(reply)["count"] == pytest.approx([expected_count()], rel=1e-5)
    assert client.get(f"http://{metrics}/metrics").status_code == 200
    with grpc.insecure_channel(grpc_address) as channel:
        assert GRPCInferenceServiceStub(channel).ServerReady(pb.ServerReadyRequest(), timeout=60).ready


def test_default_is_both_families_and_triton_may_have_an_ipv6_address(
    client: httpx.Client, start_transformer: StartTransformer, small_service: EmbeddedService
) -> None:
    with (
        TritonRelay(small_service.triton.http_url, "::1") as triton,
        start_transformer(triton.address, host=Settings().host) as running,
    ):
        assert triton.address.startswith("[::1]:")
        for host in ("127.0.0.1", "::1"):
            check_serving(host, ports_of(running), client)
        assert triton.asked("infer")
