"""Answers of Triton that no model can have computed, or that are none, in front of the service's own REST interface."""

import asyncio
import json
import re
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from crowdserve.cards import ENSEMBLES, VGG16
from crowdserve.local.service import EmbeddedService
from tests.support.in_process import INFER, READY, in_process
from tests.support.photos import expected_count, gray_photo
from tests.support.relays import Answer, Deliver, Flood, TritonRelay, altered, http_reply, sends
from tests.support.requests import json_body

pytestmark = pytest.mark.e2e

DENSE = ENSEMBLES["dense"]
DENSITY = DENSE.output_name(DENSE.members[0], DENSE.members[0].outputs[0])


@pytest.fixture(scope="module")
def relay(small_service: EmbeddedService) -> Iterator[TritonRelay]:
    with TritonRelay(small_service.triton.http_url) as relay:
        yield relay


@pytest.fixture
def ask(relay: TritonRelay, small_repository: Path) -> Iterator[Callable[..., Any]]:
    """`ask(path_end, deliver)`: the reply to a photo while Triton delivers that, by a service of its own."""

    async def count(parameters: dict[str, object], timeout_seconds: float, wrong: dict[str, Deliver]) -> httpx.Response:
        async with in_process(relay.address, small_repository, triton_timeout_seconds=timeout_seconds) as client:
            assert (await client.get(READY)).status_code == 200
            relay.deliver.update(wrong)
            return await client.post(INFER, json=json_body(gray_photo(), parameters=parameters))

    def run(end: str, deliver: Deliver, *, timeout_seconds: float = 20.0, **parameters: object) -> httpx.Response:
        return asyncio.run(count(parameters, timeout_seconds, {end: deliver}))

    yield run
    relay.deliver.clear()


def test_answers_that_are_right_pass_the_relay(ask: Callable[..., Any]) -> None:
    count = {o["name"]: o["data"] for o in ask("nothing", altered(lambda t: t)).json()["outputs"]}["count"]
    assert count == pytest.approx([expected_count()], rel=1e-5)
    rounded = ask("dense/infer", altered(lambda t: np.where(np.arange(t.shape[-1]) % 2, t, np.float32(-1e-4))))
    outputs = {o["name"]: o["data"] for o in rounded.json()["outputs"]}
    assert outputs["count"] == pytest.approx([expected_count() / 2], rel=1e-5), "below zero by rounding is zero"


WRONG_VALUES = {
    "2x2 map": (lambda t: np.ones((1, 2, 2), np.float32), "shape [1, 2, 2], expected [1, 10, 12]"),
    "map of the unpadded photo, transposed": (lambda t: t.transpose(0, 2, 1), "shape [1, 12, 10]"),
    "no batch": (lambda t: t[0], "shape [10, 12]"),
    "two photos": (lambda t: np.concatenate([t, t]), "shape [2, 10, 12]"),
    "empty": (lambda t: t[:, :0], "shape [1, 0, 12]"),
    "scalar": (lambda t: np.float32(4).reshape(()), "shape []"),
    "negative": (lambda t: t - 72, "expected none below 0"),
    "one negative cell": (lambda t: np.where(np.arange(t.shape[-1]) == 3, np.float32(-1), t), "expected none below 0"),
    "NaN": (lambda t: np.where(np.arange(t.shape[-1]) == 3, np.float32("nan"), t), "not finite"),
    "infinite": (lambda t: t + np.float32("inf"), "not finite"),
    "sum that overflows": (lambda t: np.full_like(t, 3e38), "over 65,504"),
    "more than a network can count": (lambda t: np.full_like(t, 1e6), "over 65,504"),
    "another datatype": (lambda t: (t * 0).astype(np.uint8), "datatype uint8, expected FP32"),
    "a datatype of no model": (lambda t: t.astype(np.float64), "datatype 'FP64'"),
}


@pytest.mark.parametrize(("change", "message"), WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_density_that_the_network_cannot_have_computed(
    ask: Callable[..., Any], change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    reply = ask("dense/infer", altered(change))
    assert reply.status_code == 502, reply.text
    error = reply.json()["error"]
    assert message in error
    assert DENSE.name in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[:, :-1], "shape [1, 25087]"),
        (lambda t: t.reshape(1, 7, 7, 512), "shape [1, 7, 7, 512]"),
        (lambda t: t * np.float32("nan"), "not finite"),
        (lambda t: t - 1e4, "none below 0"),
        (lambda t: t + np.float32(3e38), "over 65,504"),
    ],
)
def test_features_that_vgg16_cannot_have_computed(
    ask: Callable[..., Any], change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    reply = ask("vgg16/infer", altered(change))
    assert reply.status_code == 502
    assert f"{VGG16.name} answered wrongly" in reply.json()["error"]
    assert message in reply.json()["error"]


def _described(**changes: object) -> Callable[[Answer], bytes]:
    """The answer with other facts about its output."""
    return lambda answer: answer.encode(outputs=[{**answer.outputs[0], **changes}])


def _size(size: object) -> Callable[[Answer], bytes]:
    return _described(parameters={"binary_data_size": size})


def _compressed(answer: Answer) -> bytes:
    return answer.encode().replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)


def _head_length(text: str) -> Callable[[Answer], bytes]:
    return lambda answer: re.sub(rb"(Header-Content-Length:) \d+", rb"\1 " + text.encode(), answer.encode(), count=1)


BROKEN_REPLIES: dict[str, Callable[[Answer], bytes]] = {
    "no JSON": lambda a: http_reply(b"<html>", "Inference-Header-Content-Length: 6"),
    "no JSON object": lambda a: http_reply(b"[1, 2]", "Inference-Header-Content-Length: 6"),
    "empty": lambda a: http_reply(b""),
    "nested JSON": lambda a: http_reply(b"[" * 60_000, "Inference-Header-Content-Length: 60000"),
    "number of 9,994 digits": lambda a: http_reply(
        b'{"a":' + b"9" * 9_994 + b"}", "Inference-Header-Content-Length: 10000"
    ),
    "no length of the JSON part": lambda a: http_reply(json.dumps({"outputs": []}).encode()),
    "negative length": _head_length("-5"),
    "length behind the end": _head_length("99999"),
    "length of 5,000 digits": _head_length("9" * 5000),
    "no outputs": lambda a: a.encode(outputs=[]),
    "outputs of another type": lambda a: a.encode(outputs={"a": 1}),
    "output of another type": lambda a: a.encode(outputs=["density"]),
    "another output": _described(name="people"),
    "the output twice": lambda a: Answer(a.head, {**a.tensors}).encode(outputs=a.outputs * 2),
    "name of another type": _described(name=["csrnet_density"]),
    "datatype of another type": _described(datatype={"FP32": 1}),
    "text": _described(datatype="BYTES"),
    "shape of another type": _described(shape="1x10x12"),
    "negative shape": _described(shape=[-1, 10, 12]),
    "shape of fractions": _described(shape=[1.0, 10.0, 12.0]),
    "shape of truth": _described(shape=[True, 10, 12]),
    "huge shape": _described(shape=[10**17, 10**17, 10**17]),
    "shape of many axes": _described(shape=[1] * 1000),
    "negative size": _size(-480),
    "too small a size": _size(479),
    "huge size": _size(10**17),
    "size of another type": _size("480"),
    "no size": _described(parameters={}),
    "data in JSON": _described(parameters={}, data=[0.0] * 120),
    "bytes behind the outputs": lambda a: http_reply(
        json.dumps({"outputs": a.outputs}).encode() + a.binary + b"more",
        f"Inference-Header-Content-Length: {len(json.dumps({'outputs': a.outputs}))}",
    ),
    "version of another type": lambda a: a.encode(model_version=1),
    "endless version": lambda a: a.encode(model_version="1" * 10_000),
    "version that moves the cursor": lambda a: a.encode(model_version="1\x1b[2J\n"),
    "compressed": _compressed,
    "redirect": lambda a: http_reply(b"", "Location: http://127.0.0.1:9/", status="307 Temporary Redirect"),
    "nothing to say": lambda a: http_reply(b"", status="204 No Content"),
    "error without a text": lambda a: http_reply(b"\xff\xfe", status="500 Internal Server Error"),
    "error with an odd text": lambda a: http_reply(b'{"error": ["\\n", {}]}', status="400 Bad Request"),
}  # fmt: skip


@pytest.mark.parametrize("reply", BROKEN_REPLIES.values(), ids=BROKEN_REPLIES)
def test_reply_that_breaks_the_protocol(ask: Callable[..., Any], reply: Callable[[Answer], bytes]) -> None:
    found = ask("dense/infer", sends(reply))
    assert found.status_code == 502, found.text
    assert DENSE.name in found.json()["error"]
    assert len(found.text) < 1000


METADATA = {
    "versions of another type": {"versions": "3"},
    "versions that are no numbers": {"versions": ["latest"]},
    "versions that are numbers": {"versions": [1]},
    "version of 5,000 digits": {"versions": ["9" * 5000]},
    "no versions": {},
}


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
def test_metadata_without_versions(ask: Callable[..., Any], metadata: dict[str, object]) -> None:
    reply = ask("models/csrnet_a", sends(lambda a: http_reply(json.dumps(metadata).encode())))
    assert reply.status_code == 502
    assert "csrnet_a answered wrongly" in reply.json()["error"]


def test_flood_is_read_up_to_what_the_answer_can_be(ask: Callable[..., Any], relay: TritonRelay) -> None:
    for announced in (None, 4 * 2**30):
        flood, before = Flood(announced), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        reply = ask("dense/infer", flood)
        assert reply.status_code == 502
        assert re.search(rf"run {DENSE.name} and sent over 6\d,\d\d\d bytes", reply.json()["error"])
        sent = flood.sent
        time.sleep(0.1)
        assert flood.sent == sent, "the connection is still read"
        assert sent < 16 * 2**20
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024
        relay.deliver.clear()


def test_flood_of_metadata_and_of_headers_is_cut(ask: Callable[..., Any], relay: TritonRelay) -> None:
    assert ask("models/csrnet_a", Flood()).status_code == 502
    relay.deliver.clear()
    headers = [f"x-{number}: {'h' * 4000}" for number in range(2000)]
    assert ask("dense/infer", sends(lambda a: http_reply(b"", *headers))).status_code in {502, 503}


@pytest.mark.parametrize("piece_bytes", [1, 100])
def test_reply_that_drips_is_late(ask: Callable[..., Any], piece_bytes: int) -> None:
    start = time.monotonic()
    drip = Flood(1_000_000, pause_seconds=0.05, piece_bytes=piece_bytes)
    reply = ask("dense/infer", drip, timeout_seconds=0.5)
    assert reply.status_code == 503
    assert time.monotonic() - start < 30
