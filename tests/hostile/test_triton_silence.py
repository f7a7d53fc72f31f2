"""A Triton that says it is ready, and whose inference hangs or fails: nobody waits in vain for longer than once."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from crowdserve.local.service import EmbeddedService
from crowdserve_transformer.inference import breaker
from tests.support.in_process import INFER, READY, in_process
from tests.support.photos import gray_photo
from tests.support.relays import Answer, Deliver, TritonRelay, hang, http_reply, sends
from tests.support.requests import json_body

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not os.environ.get("CROWDSERVE_HOSTILE_TEST"), reason="make hostile-test"),
]

TIMEOUT_SECONDS = 0.8
ONCE_SECONDS = TIMEOUT_SECONDS + 1.2
"""Longest time of a request that waits in vain once, on a busy machine; five times took 4 s."""
FAILS = sends(lambda answer: http_reply(b'{"error":"CUDA out of memory"}', status="500 Internal Server Error"))
Work = Callable[[httpx.AsyncClient], Awaitable[None]]
Run = Callable[[Work], None]


@pytest.fixture(scope="module")
def shared_relay(small_service: EmbeddedService) -> Iterator[TritonRelay]:
    with TritonRelay(small_service.triton.http_url) as relay:
        yield relay


@pytest.fixture
def relay(shared_relay: TritonRelay) -> Iterator[TritonRelay]:
    yield shared_relay
    shared_relay.deliver.clear()
    shared_relay.seen.clear()


@pytest.fixture
def run(relay: TritonRelay, small_repository: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(work)`: gives the work a client of a service whose Triton is late after 0.8 s."""
    monkeypatch.setattr(breaker, "PROBE_SECONDS", 0.5)

    async def served(work: Work) -> None:
        async with in_process(relay.address, small_repository, triton_timeout_seconds=TIMEOUT_SECONDS) as client:
            await work(client)

    return lambda work: asyncio.run(served(work))


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get(READY)).status_code == 200


async def becomes(client: httpx.AsyncClient, ready: bool, seconds: float) -> None:
    """Ask as the probe of a cluster does, only more often."""
    deadline = time.monotonic() + seconds
    while await is_ready(client) is not ready:
        assert time.monotonic() < deadline, f"not {'ready' if ready else 'unready'} after {seconds:g} s"
        await asyncio.sleep(0.1)


async def status(client: httpx.AsyncClient, gray: int = 200, name: str = "", **parameters: object) -> tuple[int, float]:
    """Status and time of a request."""
    start = time.monotonic()
    body = json_body(gray_photo(gray), id=name or "photo", parameters=parameters)
    return (await client.post(INFER, json=body)).status_code, time.monotonic() - start


def only(name: str, deliver: Deliver) -> Deliver:
    """Deliver to the request of that id, the answer to all others."""

    async def chosen(answer: Answer, writer: asyncio.StreamWriter) -> None:
        await (deliver if answer.head.get("id") == name else sends(lambda a: a.encode()))(answer, writer)

    return chosen


@pytest.mark.parametrize("model", ["vgg16", "crowd_dense"])
def test_nobody_waits_longer_than_once_and_the_pod_is_unready_until_a_probe_is_answered(
    run: Run, relay: TritonRelay, model: str
) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        assert await is_ready(client)
        assert (await status(client))[0] == 200  # the decoding processes have started
        relay.deliver[f"{model}/infer"] = hang
        found = await asyncio.gather(*(status(client) for _ in range(20)))
        assert {code for code, _ in found} == {503}
        assert max(seconds for _, seconds in found) < ONCE_SECONDS, "the last waited for those before it"
        start = time.monotonic()
        await becomes(client, ready=False, seconds=1)
        assert (await status(client))[0] == 503
        assert time.monotonic() - start < 1.0, "a request waits for a Triton that is known not to answer"
        before = relay.asked(f"{model}/infer")
        for _ in range(20):
            assert not await is_ready(client)
            await asyncio.sleep(0.05)
        assert relay.asked(f"{model}/infer") <= before + 1, "more than one probe at a time"
        relay.deliver.clear()
        await becomes(client, ready=True, seconds=10)
        assert (await status(client))[0] == 200

    run(work)


def test_networks_of_the_other_route_answer_meanwhile(run: Run, relay: TritonRelay) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        relay.deliver["crowd_dense/infer"] = hang
        assert (await status(client))[0] == 503
        deadline = time.monotonic() + 5
        while (await status(client, 60))[0] != 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        assert not await is_ready(client)
        assert (await status(client))[0] == 503

    run(work)


def test_networks_that_hang_from_the_start(run: Run, relay: TritonRelay) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for model in ("vgg16", "crowd_dense", "crowd_sparse"):
            relay.deliver[f"{model}/infer"] = hang
        found = await asyncio.gather(is_ready(client), *(status(client) for _ in range(20)))
        assert not found[0]
        assert all(code == 503 and seconds < ONCE_SECONDS for code, seconds in found[1:])
        relay.deliver.clear()
        await becomes(client, ready=True, seconds=10)

    run(work)


def test_one_photo_that_is_late_while_others_are_answered_makes_nothing_unready(run: Run, relay: TritonRelay) -> None:
    """An inference may be slow for good reasons: a big photo on a small machine."""

    async def work(client: httpx.AsyncClient) -> None:
        assert await is_ready(client)
        relay.deliver["crowd_dense/infer"] = only("slow", hang)
        slow = asyncio.create_task(status(client, name="slow"))
        while not slow.done():
            assert (await status(client))[0] == 200
            assert await is_ready(client)
            await asyncio.sleep(0.05)
        assert (await slow)[0] == 503
        assert (await status(client))[0] == 200
        assert await is_ready(client)

    run(work)


def test_inference_that_takes_most_of_its_time_is_no_silence(run: Run, relay: TritonRelay) -> None:
    async def slowly(answer: Answer, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.7 * TIMEOUT_SECONDS)
        await sends(lambda a: a.encode())(answer, writer)

    async def work(client: httpx.AsyncClient) -> None:
        assert await is_ready(client)
        relay.deliver["crowd_dense/infer"] = slowly
        found = await asyncio.gather(*(status(client) for _ in range(8)))
        assert {code for code, _ in found} == {200}
        assert await is_ready(client)

    run(work)


@pytest.mark.parametrize("model", ["vgg16", "crowd_dense"])
def test_model_that_always_fails_makes_the_pod_unready(run: Run, relay: TritonRelay, model: str) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        assert await is_ready(client)
        relay.deliver[f"{model}/infer"] = FAILS
        assert (await status(client))[0] == 502
        await becomes(client, ready=False, seconds=5)
        assert (await status(client))[0] == 503
        relay.deliver.clear()
        await becomes(client, ready=True, seconds=10)
        assert (await status(client))[0] == 200

    run(work)


def test_photo_that_a_model_fails_on_makes_nothing_unready(run: Run, relay: TritonRelay) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        assert await is_ready(client)
        relay.deliver["crowd_dense/infer"] = only("odd", FAILS)
        for _ in range(10):
            assert (await status(client, name="odd"))[0] == 502
            assert (await status(client))[0] == 200
            assert await is_ready(client)
        assert relay.asked("crowd_dense/infer") < 30, "a probe for each failure"

    run(work)


@pytest.mark.parametrize("what", ["", "/config"], ids=["metadata", "configuration"])
def test_description_that_does_not_come(run: Run, relay: TritonRelay, what: str) -> None:
    """The other one comes meanwhile."""

    async def work(client: httpx.AsyncClient) -> None:
        assert await is_ready(client)
        assert (await status(client, 60))[0] == 200  # so decoding processes run, and csrnet_a's version is not known
        for model in ("csrnet_a", "vgg16"):
            relay.deliver[f"models/{model}{what}"] = hang
        found = await asyncio.gather(*(status(client) for _ in range(20)))
        assert all(code == 503 and seconds < ONCE_SECONDS for code, seconds in found)
        await becomes(client, ready=False, seconds=1)
        relay.deliver.clear()
        await becomes(client, ready=True, seconds=10)

    run(work)
