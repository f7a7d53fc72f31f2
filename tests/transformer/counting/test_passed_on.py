"""What goes on to Triton of a caller's own words, as a relay in front of it sees it."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.counting.passed_on import passed_on, plain_id
from tests.support.in_process import INFER, in_process
from tests.support.photos import gray_photo
from tests.support.relays import Seen, TritonRelay
from tests.support.requests import json_body

TRACE = {"traceparent": "00-1-2-01", "tracestate": "a=b"}
SENT = {"authorization": "Bearer caller", "cookie": "a=b", "x-own": "c", **TRACE}


@pytest.fixture(scope="module")
def relay(small_service: EmbeddedService) -> Iterator[TritonRelay]:
    with TritonRelay(small_service.triton.http_url) as relay:
        yield relay


def inference(relay: TritonRelay, repository: Path, headers: dict[str, str], **settings: object) -> Seen:
    """What Triton got as an inference for one photo of a caller."""

    async def count() -> None:
        async with in_process(relay.address, repository, **settings) as client:
            reply = await client.post(INFER, json=json_body(gray_photo()), headers=headers)
            assert reply.status_code == 200, reply.text

    relay.seen.clear()
    asyncio.run(count())
    return next(each for each in relay.seen if each.path.endswith("crowd_dense/infer"))


@pytest.mark.e2e
def test_trace_headers_reach_triton_and_nothing_else(relay: TritonRelay, small_repository: Path) -> None:
    seen = inference(relay, small_repository, SENT)
    assert {name: value for name, value in seen.headers.items() if name in SENT} == TRACE
    assert b"Bearer" not in seen.body


@pytest.mark.e2e
def test_authorization_reaches_triton_by_wish(relay: TritonRelay, small_repository: Path) -> None:
    seen = inference(relay, small_repository, SENT, forward_authorization=True)
    assert seen.headers["authorization"] == "Bearer caller"


@pytest.mark.e2e
def test_no_header_of_a_caller_costs_the_answer(relay: TritonRelay, small_repository: Path) -> None:
    headers = {"traceparent": "t" * 9000, "tracestate": "t" * 513, "x-b3-traceid": "\u00e9"}
    seen = inference(relay, small_repository, {name: value.encode() for name, value in headers.items()})
    assert not headers.keys() & seen.headers.keys()
    length = int(seen.headers["inference-header-content-length"])
    assert 0 < len(json.loads(seen.body[:length])["id"]) <= 128


def test_headers_that_are_not_plain_are_left_out() -> None:
    kept = {"traceparent": "00-1", "x-request-id": "i" * 128, "tracestate": "t" * 512}
    assert passed_on(kept, authorization=False) == kept
    for bad in ("", "a\nb", "a\x00b", "\u00e9", "t" * 513, "a\tb", "\x7f"):
        assert passed_on({"tracestate": bad, "traceparent": bad, "x-request-id": bad}, authorization=True) == {}
    assert passed_on({"x-request-id": "i" * 129, "authorization": "a" * 8193}, authorization=True) == {}


def test_id_for_triton_is_bounded_and_plain() -> None:
    assert plain_id("mine 7~") == "mine 7~"
    assert plain_id("a\x1b[2J\u00e9\n") == "a?[2J??"
    assert plain_id("i" * 9000) == "i" * 128
