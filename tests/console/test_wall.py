import asyncio

import pytest

from crowdserve.console.events import MAX_READERS, Events
from crowdserve.console.wall import Wall


def test_a_reader_is_told_the_newest_of_what_has_changed() -> None:
    wall = Wall()
    wall.put("camera", "a", {"people": 1})
    wall.put("camera", "b", {"people": 2})
    version, parts = wall.since(0)
    assert parts == [("camera", '{"people":1}'), ("camera", '{"people":2}')]
    assert wall.since(version) == (version, [])
    for people in range(1000):  # while a reader is slow
        wall.put("camera", "a", {"people": people})
    assert wall.since(version)[1] == [("camera", '{"people":999}')]


def test_what_says_the_same_is_not_told_again() -> None:
    wall = Wall()
    wall.put("camera", "a", {"people": 1})
    version, _ = wall.since(0)
    wall.put("camera", "a", {"people": 1})
    assert wall.since(version) == (version, [])


def test_what_is_taken_down_is_not_told() -> None:
    wall = Wall()
    wall.put("camera", "a", 1)
    wall.put("camera", "b", 2)
    wall.drop("camera", "a")
    assert wall.since(0)[1] == [("camera", "2")]
    assert wall.names("camera") == ["b"]
    assert wall.get("camera", "a") is None


def test_waiting_ends_with_a_change_or_with_the_time() -> None:
    async def run() -> None:
        wall = Wall()
        await asyncio.wait_for(wall.wait(0, 0.01), 5)
        waiting = asyncio.create_task(wall.wait(0, 60))
        await asyncio.sleep(0)
        wall.put("camera", "a", 1)
        await asyncio.wait_for(waiting, 5)
        await asyncio.wait_for(wall.wait(0, 60), 5)  # it is newer already

    asyncio.run(run())


def test_readers_are_bounded_and_leave_their_places() -> None:
    async def run() -> None:
        events = Events(Wall())
        answers = [events.answer() for _ in range(MAX_READERS + 1)]
        assert [each.status_code for each in answers] == [200] * MAX_READERS + [503]

        async def gone(_: object) -> None:
            raise OSError("the reader is gone")

        async def receive() -> dict[str, str]:
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
        with pytest.raises(Exception, match=r"gone|^$"):
            await answers[0](scope, receive, gone)  # type: ignore[arg-type]
        assert events.answer().status_code == 200

    asyncio.run(run())
