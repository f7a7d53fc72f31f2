"""The metrics that the gate of a rollout reads: their buckets, and whose requests they count."""

import re
from itertools import pairwise

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from crowdserve.local.service import EmbeddedService
from crowdserve.protocol.headers import TRACK_HEADER
from crowdserve_transformer.metrics import REQUEST_SECONDS, REQUEST_SECONDS_BOUNDS


def test_steps_of_the_request_time_are_at_most_ten_percent() -> None:
    """The gate allows a canary 20 % by default: coarser buckets would hide it."""
    bounds = [bound for bound in REQUEST_SECONDS_BOUNDS if bound >= 0.01]
    assert (bounds[0], bounds[-1]) == (0.01, 60.0)
    assert max(after / before for before, after in pairwise(bounds)) <= 1.1
    assert tuple(REQUEST_SECONDS._upper_bounds[:-1]) == REQUEST_SECONDS_BOUNDS
    assert len(REQUEST_SECONDS_BOUNDS) < 110  # series per protocol, in every pod


@pytest.mark.e2e
def test_requests_of_testers_are_counted_apart(
    client: httpx.Client, small_service: EmbeddedService, infer_url: str
) -> None:
    def counted(traffic: str) -> float:
        text = client.get(small_service.metrics_url).text
        pattern = rf'^crowdserve_requests_total{{.*status="400",traffic="{traffic}"}} (\S+)'
        return sum(map(float, re.findall(pattern, text, re.MULTILINE)))

    def timed() -> float:
        text = client.get(small_service.metrics_url).text
        return sum(map(float, re.findall(r"^crowdserve_request_seconds_count{.*} (\S+)", text, re.MULTILINE)))

    def grpc_refusal(**metadata: str) -> None:
        request = pb.ModelInferRequest(model_name="crowdserve")
        with grpc.insecure_channel(small_service.grpc_url) as channel:
            infer = GRPCInferenceServiceStub(channel).ModelInfer
            with pytest.raises(grpc.RpcError):
                infer(request, metadata=list(metadata.items()), timeout=60)

    before, times = (counted("public"), counted("tester")), timed()
    for value in ("canary", "guessed", ""):
        client.post(infer_url, json={}, headers={"X-Crowdserve-Track": value})
    grpc_refusal(**{TRACK_HEADER: "canary"})
    assert (counted("public"), counted("tester")) == (before[0], before[1] + 4)
    assert timed() == times
    client.post(infer_url, json={})
    grpc_refusal()
    assert (counted("public"), counted("tester")) == (before[0] + 2, before[1] + 4)
