"""Callers that are gone before their answer, and callers that do not want to wait for it."""

import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from crowdserve.local.service import EmbeddedService
from tests.support.attacks import PATH, connect, head, post
from tests.support.photos import gray_photo
from tests.support.requests import TIMEOUT_SECONDS, json_body
from tests.support.transformers import RunningTransformer, StartTransformer
from tests.support.waiting import answers, wait_for

pytestmark = pytest.mark.e2e

BODY = json.dumps(json_body(gray_photo())).encode()
REQUEST = head(PATH, f"Content-Length: {len(BODY)}") + BODY


class SilentTriton:
    """The real Triton, whose counts do not arrive."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._triton = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                triton = socket.create_connection(self._triton)
                silenced = threading.Event()
                threading.Thread(target=self._pass, args=(caller, triton, silenced), daemon=True).start()
                threading.Thread(target=self._pass_back, args=(triton, caller, silenced), daemon=True).start()

    def _pass(self, caller: socket.socket, triton: socket.socket, silenced: threading.Event) -> None:
        with suppress(OSError), caller, triton:
            while data := caller.recv(1 << 16):
                if b"/infer HTTP" in data and b"/models/vgg16/" not in data:  # which readiness asks for
                    silenced.set()
                triton.sendall(data)
            triton.shutdown(socket.SHUT_RDWR)

    def _pass_back(self, triton: socket.socket, caller: socket.socket, silenced: threading.Event) -> None:
        with suppress(OSError):
            while data := triton.recv(1 << 16):
                if not silenced.is_set():
                    caller.sendall(data)


@pytest.fixture(scope="module")
def silent(small_service: EmbeddedService) -> Iterator[SilentTriton]:
    triton = SilentTriton(small_service.triton.http_url)
    yield triton
    triton.close()


@pytest.fixture(scope="module")
def without_triton(silent: SilentTriton, start_transformer: StartTransformer) -> Iterator[RunningTransformer]:
    """A transformer whose photos get no answer from Triton."""
    with start_transformer(silent.address, request_timeout_seconds=2, max_waiting=4) as running:
        wait_for(lambda: answers(f"{running.http_url}/v2/health/ready"))
        yield running


def counted(running: RunningTransformer, status: int, protocol: str = "v2-rest") -> float:
    text = httpx.get(running.metrics_url, trust_env=False).text
    pattern = rf'^crowdserve_requests_total{{.*protocol="{protocol}".*status="{status}".*}} (\S+)'
    return sum(map(float, re.findall(pattern, text, re.MULTILINE)))


def in_flight(running: RunningTransformer) -> float:
    text = httpx.get(running.metrics_url, trust_env=False).text
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
    wait_for(lambda: in_flight(without_triton) == 4, 10)
    for connection in opened:
        connection.close()
    wait_for(lambda: in_flight(without_triton) == 0, 10)  # one whose time is over does not count as 499
    assert counted(without_triton, 499) == before + 4
    assert "Traceback" not in without_triton.process.log.read_text()


def test_grpc_caller_that_hangs_up_counts_alike(without_triton: RunningTransformer) -> None:
    before = counted(without_triton, 499, "v2-grpc")
    image = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    image.contents.bytes_contents.append(gray_photo())
    with grpc.insecure_channel(without_triton.grpc_url) as channel:
        stub = GRPCInferenceServiceStub(channel)
        waiting = stub.ModelInfer.future(pb.ModelInferRequest(model_name="crowdserve", inputs=[image]))
        wait_for(lambda: in_flight(without_triton) == 1, 10)
        waiting.cancel()
        wait_for(lambda: counted(without_triton, 499, "v2-grpc") == before + 1, 10)


def test_time_of_the_service_is_over(without_triton: RunningTransformer) -> None:
    start = time.monotonic()
    response = post(without_triton.http_url, BODY)
    assert 2 <= time.monotonic() - start < 20
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"] == "no answer within 2 seconds, the limit of this service; try again later"
    error = call(without_triton, 60)
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert ("retry-after", "1") in error.trailing_metadata()


def test_time_of_the_caller_is_over(without_triton: RunningTransformer) -> None:
    """Whoever sets a limit that cannot be kept must not make the service look broken."""
    response = post(without_triton.http_url, BODY, **{"x-request-timeout-seconds": "0.2"})
    assert response.status_code == 408
    assert response.json()["error"] == "no answer within the 0.2 seconds that the request allows"


def test_time_of_the_grpc_caller_is_over(without_triton: RunningTransformer) -> None:
    """The client hangs up some milliseconds before the server's clock, which got 1.24 seconds from it, is at 0."""
    before = counted(without_triton, 408, "v2-grpc")
    assert call(without_triton, 1.234).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_for(lambda: counted(without_triton, 408, "v2-grpc") == before + 1, 10)


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
        wait_for(lambda: in_flight(without_triton) == 4, 10)
        with connect(url) as connection:  # its body has not been sent
            connection.sendall(head(PATH, "Content-Length: 60000000"))
            answer = connection.recv(1000)
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 1" in answer
        assert call(without_triton, 60).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        for asked in (f"{url}/v2/health/live", without_triton.metrics_url):
            assert httpx.get(asked, timeout=TIMEOUT_SECONDS, trust_env=False).status_code == 200
        assert {answer.result().status_code for answer in waiting} == {503}


@pytest.mark.skipif(not os.environ.get("CROWDSERVE_HOSTILE_TEST"), reason="make hostile-test")
def test_stop_waits_for_no_attacker(silent: SilentTriton, start_transformer: StartTransformer) -> None:
    with start_transformer(silent.address, grace_seconds=1) as running:
        wait_for(lambda: answers(f"{running.http_url}/v2/health/ready"))
        opened = [connect(running.http_url) for _ in range(30)]
        for number, connection in enumerate(opened):
            connection.sendall([b"", b"POST ", head(PATH, "Content-Length: 999") + b"x", REQUEST][number % 4])
        time.sleep(0.5)
        start = time.monotonic()
        running.process.stop(30)
        assert time.monotonic() - start < 15
        assert running.process.exit_code == 0
        for connection in opened:
            connection.close()
