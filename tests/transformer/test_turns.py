"""Turns at what there is little of."""

import asyncio
from collections.abc import Sequence

from crowdserve_transformer.turns import Turns


async def in_order(turns: Turns[str], places: Sequence[int]) -> list[int]:
    """The indexes of photos, which come in this order with these places, as each is served by one thing in turn."""
    served: list[int] = []

    async def use(index: int, place: int) -> None:
        thing = await turns.take(place)
        served.append(index)
        turns.give_back(thing)

    held = await turns.take()
    tasks = [asyncio.create_task(use(*photo)) for photo in enumerate(places)]
    await asyncio.sleep(0)
    turns.give_back(held)
    await asyncio.gather(*tasks)
    return served


def test_photos_of_several_requests_come_in_order_of_arrival() -> None:
    assert asyncio.run(in_order(Turns(["only"]), [0, 0, 0])) == [0, 1, 2]


def test_a_single_photo_goes_before_the_second_of_a_batch() -> None:
    assert asyncio.run(in_order(Turns(["only"]), [0, 1, 2, 0])) == [0, 3, 1, 2]


def test_what_is_free_is_taken_at_once_by_any_photo() -> None:
    async def scenario() -> set[str]:
        turns = Turns(["one", "other"])
        return {await turns.take(7), await turns.take(15)}

    assert asyncio.run(asyncio.wait_for(scenario(), 1)) == {"one", "other"}


def test_a_photo_that_is_given_up_loses_nothing() -> None:
    async def scenario() -> str:
        turns = Turns(["only"])
        held = await turns.take()
        early, late = (asyncio.create_task(turns.take()) for _ in range(2))
        await asyncio.sleep(0)
        early.cancel()  # while it waits
        await asyncio.sleep(0)
        turns.give_back(held)
        late.cancel()  # after it was served, before it runs
        await asyncio.gather(early, late, return_exceptions=True)
        return await turns.take()

    assert asyncio.run(asyncio.wait_for(scenario(), 1)) == "only"
