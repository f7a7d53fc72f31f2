import asyncio
import time

from crowdserve_transformer import metrics
from crowdserve_transformer.clocks import CLOCK, Clock, photo_clock
from crowdserve_transformer.threads import Threads


def work() -> None:
    with metrics.stage("heatmap"):
        time.sleep(0.01)


def test_stages_go_to_the_photo_in_which_they_happen() -> None:
    async def photo(threads: Threads) -> None:
        with photo_clock():
            with metrics.stage("decode"):
                await asyncio.sleep(0.01)
            await threads.run(work)

    async def request() -> Clock:
        threads, clock = Threads(1), Clock()
        with clock.running():
            with metrics.stage("parse"):
                time.sleep(0.01)
            await asyncio.gather(photo(threads), photo(threads))
        threads.close()
        return clock

    clock = asyncio.run(request())
    assert set(clock.spent_ns) == {"parse"}
    assert len(clock.photos) == 2
    for each in clock.photos:
        assert set(each.spent_ns) == {"decode", "heatmap"}
        assert sum(each.spent_ns.values()) <= each.total_ns <= clock.total_ns
        assert min(each.spent_ns.values()) >= 9e6


def test_without_a_clock_nothing_is_kept() -> None:
    work()
    with photo_clock():
        work()
    assert CLOCK.get() is None
