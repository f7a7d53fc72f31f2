"""Callers that are gone before their answer, and callers that do not want to wait for it."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from tests.support.attacks import PATH, connect, head, post
from tests.support.photos import gray_photo
from tests.support.requests import TIMEOUT_SECONDS, json_body
from tests.support.transformers import RunningTransformer, StartTransformer
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

BODY = json.dumps(json_body(gray_photo())).encode()
REQUEST = head(PATH, f"Content-Length: {len(BODY)}") + BODY


@pytest.fixture(scope="module")
def without_triton(start_transformer: StartTransformer) -> Iterator[RunningTransformer]:
    """A transformer whose photos wait for a Triton that never comes."""
    settings = {"triton_away_seconds": 100, "request_timeout_seconds": 3, "max_waiting": 4}
    with start_transformer("127.0.0.1:9", **settings) as running:
        yield running


def counted(running: RunningTransformer, status: int, protocol: str = "v2-rest") -> float:
    text = httpx.get(f"{running.http_url}/metrics", trust_env=False).text
    pattern = rf'^crowdserve_requests_total{{.*protocol="{protocol}".*status="{status}"}} (\S+)'
    return sum(map(float, re.findall(pattern, text, re.MULTILINE)))


def in_flight(running: RunningTransformer) -> float:
    text = httpx.get(f"{running.http_url}/metrics", trust_env=False).text
    return float(re.findall(r"^crowdserve_requests_in_flight (\S+)", text, re.MULTILINE)[0])


def call(running: RunningTransformer, timeout: float) -> grpc.RpcError:
    image = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    image.contents.bytes_contents.append(gray_photo())
    with grpc.insecure_channel(running.grpc_url) as channel, pytest.raises(grpc.RpcError) as caught:
        GRPCInferenceServiceStub(channel).ModelInfer(
            pb.ModelInferRequest(model_name="crowdserve", inputs=[image]), timeout=timeout
        )
    return caught.value


def test_caller_that_hangs_up_is_not_worked_for(without_triton: RunningTransformer) -> None:
    before = counted(without_triton, 499)
    opened = [connect(without_triton.http_url) for _ in range(4)]
    for connection in opened:
        connection.sendall(REQUEST)
    wait_for(lambda: in_flight(without_triton) == 4, 5)
    for connection in opened:
        connection.close()
    wait_for(lambda: in_flight(without_triton) == 0, 2)  # long before their time is over
    assert counted(without_triton, 499) == before + 4
    assert "Traceback" not in without_triton.process.log.read_text()


def test_grpc_caller_that_hangs_up_counts_alike(without_triton: RunningTransformer) -> None:
    before = counted(without_triton, 499, "v2-grpc")
    image = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    image.contents.bytes_contents.append(gray_photo())
    with grpc.insecure_channel(without_triton.grpc_url) as channel:
        stub = GRPCInferenceServiceStub(channel)
        waiting = stub.ModelInfer.future(pb.ModelInferRequest(model_name="crowdserve", inputs=[image]))
        wait_for(lambda: in_flight(without_triton) == 1, 5)
        waiting.cancel()
        wait_for(lambda: counted(without_triton, 499, "v2-grpc") == before + 1, 2)


def test_time_of_the_service_is_over(without_triton: RunningTransformer) -> None:
    start = time.monotonic()
    response = post(without_triton.http_url, BODY)
    assert 3 <= time.monotonic() - start < 5
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"] == "no answer within 3 seconds, the limit of this service; try again later"
    error = call(without_triton, 60)
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert ("retry-after", "1") in error.trailing_metadata()


def test_time_of_the_caller_is_over(without_triton: RunningTransformer) -> None:
    """Whoever sets a limit that cannot be kept must not make the service look broken."""
    before = counted(without_triton, 408, "v2-grpc")
    start = time.monotonic()
    response = post(without_triton.http_url, BODY, **{"x-request-timeout-seconds": "0.2"})
    assert time.monotonic() - start < 2
    assert response.status_code == 408
    assert response.json()["error"] == "no answer within the 0.2 seconds that the request allows"
    assert call(without_triton, 0.5).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_for(lambda: counted(without_triton, 408, "v2-grpc") == before + 1, 2)


def test_longer_limit_of_the_caller_changes_nothing(without_triton: RunningTransformer) -> None:
    assert post(without_triton.http_url, BODY, **{"x-request-timeout-seconds": "999"}).status_code == 503


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf", "1e999", "", "1_0", "ten", "٣", "9" * 5000, "1,1"])
def test_limit_that_is_none_is_refused(without_triton: RunningTransformer, limit: str) -> None:
    response = post(without_triton.http_url, BODY, **{"x-request-timeout-seconds": limit.encode()})  # type: ignore[arg-type]
    assert response.status_code == 400
    assert "X-Request-Timeout-Seconds is" in response.json()["error"]


def test_more_requests_than_places_are_told_to_come_again(without_triton: RunningTransformer) -> None:
    url = without_triton.http_url
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(post, url, BODY) for _ in range(4)]
        wait_for(lambda: in_flight(without_triton) == 4, 5)
        with connect(url) as connection:  # its body has not been sent
            connection.sendall(head(PATH, "Content-Length: 60000000"))
            answer = connection.recv(1000)
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 1" in answer
        assert call(without_triton, 60).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        for path in ("/v2/health/live", "/metrics"):
            assert httpx.get(url + path, timeout=TIMEOUT_SECONDS, trust_env=False).status_code == 200
        assert {answer.result().status_code for answer in waiting} == {503}


def test_stop_waits_for_no_attacker(start_transformer: StartTransformer) -> None:
    settings = {"triton_away_seconds": 100, "grace_seconds": 1}
    with start_transformer("127.0.0.1:9", **settings) as running:
        opened = [connect(running.http_url) for _ in range(30)]
        for number, connection in enumerate(opened):
            connection.sendall([b"", b"POST ", head(PATH, "Content-Length: 999") + b"x", REQUEST][number % 4])
        time.sleep(0.5)
        start = time.monotonic()
        running.process.stop(30)
        assert time.monotonic() - start < 12
        assert running.process.exit_code == 0
        for connection in opened:
            connection.close()
