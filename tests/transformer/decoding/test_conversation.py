"""The conversation with a real decoding process: what it does on its own, and what it asks about."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from crowdserve_transformer.decoding.conversation import Conversation, start_worker
from crowdserve_transformer.decoding.messages import Header, Job
from tests.support.photos import gray_photo

PHOTO = gray_photo()
GRANTED = Job(len(PHOTO), 10**6, 10**6, 2048, with_scene=False, granted_bytes=2**26, cpu_seconds=5.0)

T = TypeVar("T")


def talk(scenario: Callable[[Conversation], Awaitable[T]]) -> T:
    async def main() -> T:
        running = await start_worker(2048)
        try:
            async with asyncio.timeout(20):
                return await scenario(running)
        finally:
            await running.end()

    return asyncio.run(main())


def test_photo_within_what_is_granted_is_decoded_without_an_answer_to_its_header() -> None:
    async def scenario(running: Conversation) -> tuple[int, ...]:
        await running.ask(PHOTO, GRANTED)
        return (await running.take(2048)).image.shape

    assert talk(scenario) == (80, 96, 3)


@pytest.mark.parametrize(
    "job", [replace(GRANTED, granted_bytes=1000), replace(GRANTED, max_whole_pixels=80 * 96, max_pixels=80 * 96)]
)
def test_other_photos_wait_for_an_answer(job: Job) -> None:
    async def scenario(running: Conversation) -> tuple[int, ...]:
        await running.ask(PHOTO, job)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running.take(2048), 0.2)
        running.permit(5.0)
        return (await running.take(2048)).image.shape

    assert talk(scenario) == (80, 96, 3)


@pytest.mark.parametrize("granted_bytes", [0, GRANTED.granted_bytes])
def test_photo_that_was_given_up_before_its_header_came_leaves_a_free_process(granted_bytes: int) -> None:
    async def scenario(running: Conversation) -> tuple[int, ...]:
        asking = asyncio.create_task(running.ask(PHOTO, replace(GRANTED, granted_bytes=granted_bytes)))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        await running.forget()
        assert running.owes_nothing
        await running.ask(PHOTO, GRANTED)
        return (await running.take(2048)).image.shape

    assert talk(scenario) == (80, 96, 3)


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        (Header(100_000, 2**26), True),
        (Header(100_000, 2**26 + 1), False),
        (Header(100_001, 2**20), False),
        (Header(100_000, 2**20, scans=11), False),
        (Header(1_000_000, 2**20, is_held_whole=False), True),
    ],
    ids=["at the limit", "memory", "pixels", "scans", "scaled while it is read"],
)
def test_small_photos_within_the_memory_need_no_answer(header: Header, allowed: bool) -> None:
    assert replace(GRANTED, max_pixels=10**7).allows(header) is allowed
