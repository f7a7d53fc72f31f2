import asyncio
from collections.abc import Awaitable, Callable

import pytest

from crowdserve.errors import ImageTooLarge, Overloaded
from crowdserve_transformer.budget import Budget

pytestmark = pytest.mark.filterwarnings("error")


def budget(capacity_bytes: int = 1600, max_waiting: int = 2) -> Budget:
    return Budget(capacity_bytes, picture_bytes=capacity_bytes * 3 // 4, max_waiting=max_waiting)


class Pictures:
    """Pictures that hold bytes until they are told to end; their names in the order in which they got them."""

    def __init__(self, bytes_of: Budget) -> None:
        self.budget = bytes_of
        self.running: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def begin(self, name: str, needed_bytes: int) -> None:
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, needed_bytes))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def _hold(self, name: str, needed_bytes: int) -> None:
        async with self.budget.picture(needed_bytes):
            self.running.append(name)
            await self._ends[name].wait()


def run(scenario: Callable[[Pictures], Awaitable[None]]) -> Pictures:
    async def main() -> Pictures:
        pictures = Pictures(budget())
        await scenario(pictures)
        return pictures

    return asyncio.run(main())


def test_pictures_wait_in_turn_and_give_everything_back() -> None:
    async def scenario(pictures: Pictures) -> None:
        await pictures.begin("first", 1000)
        await pictures.begin("second", 1000)
        await pictures.begin("third", 500)
        assert pictures.running == ["first"]
        await pictures.end("first")
        assert pictures.running == ["first", "second", "third"]
        await pictures.end("second")
        await pictures.end("third")

    assert run(scenario).budget.used_bytes == 0


def test_small_picture_does_not_wait_behind_a_large_one() -> None:
    async def scenario(pictures: Pictures) -> None:
        await pictures.begin("holder", 1000)
        await pictures.begin("large", 1000)
        await pictures.begin("small", 100)
        assert pictures.running == ["holder", "small"]
        for name in ("holder", "large", "small"):
            await pictures.end(name)

    run(scenario)


def test_picture_that_never_fits_is_refused_at_once() -> None:
    async def scenario(pictures: Pictures) -> None:
        await pictures.begin("huge", 1601)
        with pytest.raises(ImageTooLarge, match="would take"):
            await pictures.tasks["huge"]

    run(scenario)


def test_queue_is_bounded() -> None:
    async def scenario(pictures: Pictures) -> None:
        for name in ("holder", "second", "third", "fourth"):
            await pictures.begin(name, 1600)
        with pytest.raises(Overloaded) as caught:
            await pictures.tasks["fourth"]
        assert caught.value.retry_after_seconds
        for name in ("holder", "second", "third"):
            await pictures.end(name)

    run(scenario)


def test_cancelled_wait_holds_nothing_and_lets_the_next_one_go() -> None:
    async def scenario(pictures: Pictures) -> None:
        await pictures.begin("holder", 600)
        await pictures.begin("cancelled", 1600)
        await pictures.begin("next", 1000)
        assert pictures.running == ["holder"]
        pictures.tasks["cancelled"].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert pictures.running == ["holder", "next"]
        await pictures.end("holder")
        await pictures.end("next")

    assert run(scenario).budget.used_bytes == 0


def test_picture_cancelled_in_the_moment_of_its_turn_gives_it_back() -> None:
    async def scenario(pictures: Pictures) -> None:
        await pictures.begin("holder", 1600)
        await pictures.begin("unlucky", 1600)
        pictures._ends["holder"].set()
        await asyncio.sleep(0)
        pictures.tasks["unlucky"].cancel()
        await asyncio.gather(*pictures.tasks.values(), return_exceptions=True)

    assert run(scenario).budget.used_bytes == 0


def test_hold_shrinks_to_what_the_decoded_picture_takes() -> None:
    async def scenario(pictures: Pictures) -> None:
        async with pictures.budget.picture(1600) as hold:
            await pictures.begin("waiting", 1500)
            hold.shrink(100)
            await asyncio.sleep(0)
            assert pictures.running == ["waiting"]
            await pictures.end("waiting")

    assert run(scenario).budget.used_bytes == 0


def test_bodies_never_get_the_part_of_the_pictures() -> None:
    memory = budget()
    with memory.body() as first, memory.body() as second:
        first.grow(250)
        with pytest.raises(Overloaded):
            second.grow(151)
        second.grow(150)
        assert memory.used_bytes == 400
        first.shrink(50)
        second.grow(200)
    assert memory.used_bytes == 0
    with memory.body() as again:
        again.grow(400)


def test_answers_get_half_of_all_bytes_at_once_and_pictures_wait_for_them() -> None:
    async def scenario() -> int:
        budget = Budget(100, picture_bytes=75, max_waiting=8)
        first, second = budget.answer(), budget.answer()
        first.grow(30)
        with pytest.raises(Overloaded, match="heat maps"):
            second.grow(21)
        with pytest.raises(ImageTooLarge, match="fewer heat maps"):
            second.grow(51)
        waiting = asyncio.create_task(picture_of(budget, 80))
        await asyncio.sleep(0)
        assert not waiting.done()
        first.shrink(20)
        await asyncio.wait_for(waiting, 1)
        first.release()
        second.release()
        return budget.used_bytes

    assert asyncio.run(scenario()) == 0


async def picture_of(budget: Budget, needed_bytes: int) -> None:
    async with budget.picture(needed_bytes):
        pass


def test_picture_now_takes_bytes_only_if_it_need_not_wait() -> None:
    small = budget(1000)
    with small.picture_now(700) as hold:
        assert (hold.held_bytes, small.used_bytes) == (700, 700)
        assert small.picture_now(400).held_bytes == 0
        assert small.used_bytes == 700
    assert small.used_bytes == 0
