import asyncio
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from crowdserve.client.service import ServiceClient
from crowdserve.console import beside
from crowdserve.console.beside import WatcherBeside
from crowdserve.console.events import MAX_READERS, Events
from crowdserve.console.wall import Wall
from crowdserve.live.configuration import Camera, read_configuration
from crowdserve.live.publishing import Publishing
from crowdserve.live.watcher import Watcher
from tests.live.readings import reading

REQUEST = Request({"type": "http", "headers": []})


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
        await asyncio.wait_for(wall.wait(0, 0.01), 30)
        waiting = asyncio.create_task(wall.wait(0, 60))
        await asyncio.sleep(0)
        wall.put("camera", "a", 1)
        await asyncio.wait_for(waiting, 5)
        await asyncio.wait_for(wall.wait(0, 60), 30)  # it is newer already

    asyncio.run(run())


def test_readers_are_bounded_and_leave_their_places() -> None:
    async def run() -> None:
        events = Events(Wall())
        answers = [events.answer(REQUEST) for _ in range(MAX_READERS + 1)]
        assert [each.status_code for each in answers] == [200] * MAX_READERS + [503]

        async def gone(_: object) -> None:
            raise OSError("the reader is gone")

        async def receive() -> dict[str, str]:
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
        with pytest.raises(Exception, match=r"gone|^$"):
            await answers[0](scope, receive, gone)  # type: ignore[arg-type]
        assert events.answer(REQUEST).status_code == 200

    asyncio.run(run())


@pytest.mark.parametrize("asked", ["gzip, deflate, br", "br;q=1, GZIP; q=0.05"])
def test_events_are_compressed_and_can_be_read_as_they_come(asked: str) -> None:
    sent, encoding = told({"accept-encoding": asked})
    assert encoding == "gzip"
    packed, texts = zlib.decompressobj(wbits=31), []
    for piece in sent[:-1]:  # the last one is the end of the compressed text
        texts.append(packed.decompress(piece))
        assert texts[-1].endswith(b"\n\n")
    assert b"".join(texts).count(b"event: camera\n") == 50
    assert sum(map(len, sent)) < 0.25 * sum(map(len, texts))


@pytest.mark.parametrize("asked", [{}, {"accept-encoding": "identity"}, {"accept-encoding": "deflate, gzip; q=0.000"}])
def test_events_are_text_for_who_reads_no_other(asked: dict[str, str]) -> None:
    sent, encoding = told(asked)
    assert encoding is None
    assert b"".join(sent).count(b"event: camera\n") == 50


def test_a_camera_of_which_nothing_is_new_is_not_described_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[str] = []
    real = beside.camera_view

    def counting(camera: Camera, *more: Any) -> dict[str, Any]:
        described.append(camera.name)
        return real(camera, *more)

    monkeypatch.setattr(beside, "camera_view", counting)
    monkeypatch.setattr(beside, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(beside, "_REST_SECONDS", 0.01)
    file = tmp_path / "cameras.yaml"
    file.write_text("cameras: [{name: a, source: a.mp4}, {name: b, source: b.mp4}]\nhistory: {url: null}\n")

    async def run() -> None:
        with (
            closing(Publishing(read_configuration(file), "test")) as publishing,
            ServiceClient("http://127.0.0.1:1") as client,
        ):
            watcher = Watcher(read_configuration(file), client, publishing)
            publishing.board.show(["a", "b"])
            wall = Wall()
            task = asyncio.create_task(WatcherBeside(watcher, publishing, None).run(wall))
            await asyncio.sleep(0.3)
            assert described == ["a", "b"]
            publishing.board.put(reading("b", at=5), [])
            await asyncio.sleep(0.3)
            assert described == ["a", "b", "b"]
            assert (wall.get("camera", "a")["at"], wall.get("camera", "b")["at"]) == (0, 5)
            task.cancel()

    asyncio.run(run())


def told(headers: dict[str, str]) -> tuple[list[bytes], str | None]:
    """What a reader is told of fifty cameras, piece by piece, and how it is encoded."""

    async def run() -> tuple[list[bytes], str | None]:
        wall, pieces = Wall(), list[bytes]()
        for number in range(50):
            line = [[1_795_000_000 + 10 * at, (number * 37 + at * at) % 900 / 10] for at in range(90)]
            wall.put("camera", f"camera-{number}", {"name": f"camera-{number}", "spark": line})
        events = Events(wall)
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        answer = events.answer(Request({"type": "http", "headers": raw}))

        async def send(message: Any) -> None:
            if message.get("body"):
                pieces.append(message["body"])
            if len(pieces) == 6:  # the first beat, four of cameras, a beat
                events.close()

        async def receive() -> Any:
            await asyncio.Event().wait()

        await answer({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
        return pieces, answer.headers.get("content-encoding")

    return asyncio.run(run())
