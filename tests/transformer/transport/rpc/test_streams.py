"""Streams of inference: in order, with an error where it belongs, few at once, none idle for ever."""

import asyncio
import json
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from crowdserve.errors import DeadlineExceeded, Overloaded, RequestTimedOut
from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.transport.rpc import streams
from crowdserve_transformer.transport.rpc.protocol import message_class
from crowdserve_transformer.transport.rpc.streams import READING, STREAMS, Streams
from tests.support.photos import expected_count, gray_photo

METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"
Answer = message_class("ModelStreamInferResponse")

TRITON_CLIENT = """
import json, queue, sys
import numpy as np
import tritonclient.grpc as triton
address, photo = sys.argv[1], sys.stdin.buffer.read()
answers = queue.Queue()
client = triton.InferenceServerClient(address)
client.start_stream(callback=lambda result, error: answers.put((result, error)), stream_timeout=150)
def send(file, number, **choices):
    files = np.empty(1, dtype=np.object_); files[:] = [file]
    image = triton.InferInput("image", [1], "BYTES"); image.set_data_from_numpy(files)
    client.async_stream_infer("crowdserve", [image], request_id=str(number), **choices)
for number in range(5):
    send(photo if number != 2 else b"no photo", number, enable_empty_final_response=number == 4,
         parameters={"counter": "csrnet"} if number != 3 else {"fast": True})
found = []
for number in range(5):
    result, error = answers.get(timeout=150)
    if error:
        found.append([None, str(error)])
    else:
        final = result.get_response().parameters["triton_final_response"].bool_param
        found.append([result.get_response().id, float(result.as_numpy("count")[0]), final])
client.stop_stream()
print(json.dumps(found))
"""


@pytest.mark.e2e
def test_tritonclient_streams_requests(small_service: EmbeddedService) -> None:
    """In a separate process: its protobuf code conflicts with that of the KServe SDK."""
    command = [sys.executable, "-c", TRITON_CLIENT, small_service.grpc_url]
    ended = subprocess.run(command, input=gray_photo(), capture_output=True, check=False, timeout=200)
    assert ended.returncode == 0, ended.stderr.decode()
    found = json.loads(ended.stdout)
    for number in (0, 1, 4):
        assert found[number] == [str(number), pytest.approx(expected_count(), rel=0.5), True]
    assert "8 bytes are a text: send a photo" in found[2][1]
    assert "unknown parameter 'fast'" in found[3][1]


def message(photo: bytes, name: str = "crowdserve") -> bytes:
    image = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    raw = [len(photo).to_bytes(4, "little") + photo]
    return pb.ModelInferRequest(model_name=name, id="7", inputs=[image], raw_input_contents=raw).SerializeToString()


def called(service: EmbeddedService, *messages: bytes) -> list[Any]:
    with grpc.insecure_channel(service.grpc_url) as channel:
        return [Answer.FromString(sent) for sent in channel.stream_stream(METHOD)(iter(messages), timeout=100)]


@pytest.mark.e2e
def test_what_is_no_request_has_its_answer_too(small_service: EmbeddedService) -> None:
    found = called(small_service, b"\xff\xff", message(gray_photo(), "other"), b"", message(gray_photo()))
    assert [bool(each.error_message) for each in found] == [True, True, True, False]
    assert "'other' does not exist" in found[1].error_message
    assert [found[1].infer_response.id, found[3].infer_response.id] == ["7", "7"]
    assert called(small_service) == []


@pytest.mark.e2e
def test_streams_that_stay_are_few_and_do_not_hold_up_other_calls(small_service: EmbeddedService) -> None:
    done = threading.Event()

    def staying() -> Iterator[bytes]:
        yield message(gray_photo())
        done.wait(20)

    with grpc.insecure_channel(small_service.grpc_url) as channel:
        calls = [channel.stream_stream(METHOD)(staying(), timeout=60) for _ in range(READING)]
        try:
            for call in calls:
                assert not Answer.FromString(next(call)).error_message
            one = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(message(gray_photo()), timeout=60)
            assert pb.ModelInferResponse.FromString(one).id == "7"
        finally:
            done.set()
            for call in calls:
                call.cancel()


class Idle:
    """Messages that never come."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self  # type: ignore[return-value]

    async def __anext__(self) -> bytes:
        await asyncio.sleep(60)
        return b""


class Deaf:
    """A caller that takes no answer."""

    async def write(self, _: object) -> None:
        await asyncio.sleep(60)


async def idle(among: Streams, *, stopping: bool = False) -> None:
    with among.one(lambda: stopping) as stream:
        async for _ in stream.each(Idle()):
            pytest.fail("there are no messages")


async def opened(among: Streams, number: int) -> list["asyncio.Task[None]"]:
    tasks = []
    for _ in range(number):
        tasks.append(asyncio.create_task(idle(among)))
        await asyncio.sleep(0.01)
    return tasks


def test_one_more_is_refused_and_the_longest_idle_one_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 0.01)

    async def whole() -> None:
        among = Streams(1)
        tasks = await opened(among, READING)
        newest = (await opened(among, 1))[0]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in tasks)
        monkeypatch.setattr(streams, "GIVES_WAY_SECONDS", 0.1)
        with pytest.raises(Overloaded, match="others waited for its place; open it again"):
            await tasks[0]
        assert not any(task.done() for task in (*tasks[1:], newest))
        monkeypatch.setattr(streams, "GIVES_WAY_SECONDS", 60.0)
        more = await opened(among, STREAMS - READING)
        with pytest.raises(Overloaded, match=f"{STREAMS} streams are open already"):
            await idle(among)
        for task in (*tasks, newest, *more):
            task.cancel()
        await asyncio.gather(*tasks, newest, *more, return_exceptions=True)
        assert (await opened(among, READING))[0].done() is False  # every place is free again

    asyncio.run(whole())


def test_busy_streams_take_turns() -> None:
    """More than may read at once, each with its next message as soon as the one before is answered."""
    answered = [0] * (2 * READING)

    async def messages() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.001)
            yield b"message"

    async def busy(among: Streams, number: int) -> None:
        with among.one(lambda: False) as stream:
            async for _ in stream.each(messages()):
                answered[number] += 1
                await asyncio.sleep(0.001)

    async def whole() -> None:
        among = Streams(1)
        tasks = [asyncio.create_task(busy(among, number)) for number in range(len(answered))]
        while max(answered) < 20:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(whole())
    assert min(answered) > 10


def test_idle_streams_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 0.01)
    with pytest.raises(RequestTimedOut, match="the service is stopping"):
        asyncio.run(idle(Streams(1), stopping=True))
    monkeypatch.setattr(streams, "IDLE_SECONDS", 0.02)
    with pytest.raises(DeadlineExceeded, match=r"no message came whole within 0\.02 seconds"):
        asyncio.run(idle(Streams(1)))


@pytest.mark.parametrize(("last", "answered"), [("3", ["0", "1", "2", "3"]), (None, ["0"])])
def test_busy_stream_ends_too_when_the_service_stops(last: str | None, answered: list[str]) -> None:
    """Between two messages; one that is opened meanwhile has its first one answered."""
    seen: list[str] = []

    async def ready() -> AsyncIterator[bytes]:
        for number in range(9):
            yield b"%d" % number

    async def whole() -> None:
        with Streams(1).one(lambda: last is None or last in seen) as stream:
            async for message in stream.each(ready()):
                seen.append(message.decode())  # noqa: PERF401 - what came before the error counts

    with pytest.raises(RequestTimedOut, match="the service is stopping"):
        asyncio.run(whole())
    assert seen == answered


def test_message_is_not_kept_while_its_answer_waits_to_be_taken() -> None:
    class Message:
        """Some bytes, which a weak reference may name."""

    async def messages() -> AsyncIterator[Any]:
        yield Message()

    async def whole() -> None:
        with Streams(1).one(lambda: False) as stream:
            async for message in stream.each(messages()):
                kept = weakref.ref(message)
                del message
                assert kept() is None

    asyncio.run(whole())


def test_caller_that_takes_no_answer_is_let_go() -> None:
    async def whole() -> None:
        with Streams(0.02).one(lambda: False) as stream:
            await stream.send(Deaf(), b"answer")

    with pytest.raises(DeadlineExceeded, match=r"not taken within 0\.02 seconds"):
        asyncio.run(whole())
