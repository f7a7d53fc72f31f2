import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crowdserve.live.backoff import BackOff
from crowdserve.live.capture import Capture
from crowdserve.live.errors import SourceEnded, SourceLost
from crowdserve.live.frames import Frame, still_frame
from crowdserve.live.sources import open_source
from tests.support.waiting import wait_for


def test_only_the_newest_frame_is_kept() -> None:
    go_on = threading.Event()

    def frames() -> Iterator[Frame]:
        for number in range(100):
            yield still_frame(float(number), number, b"")
        go_on.wait(10)
        raise SourceEnded("the end")

    with Capture("a", frames) as capture:
        wait_for(lambda: capture.frames_read == 100, 10)
        newest = capture.take()
        assert newest is not None
        assert newest.number == 99
        assert capture.take() is None
        assert capture.state == "live"
        go_on.set()
        wait_for(lambda: capture.state == "ended", 10)


@pytest.mark.parametrize("fault", [SourceLost("cut"), ValueError("a fault of a decoder")])
def test_a_source_that_is_lost_is_opened_again(fault: Exception) -> None:
    opened: list[float] = []

    def frames() -> Iterator[Frame]:
        opened.append(time.monotonic())
        if len(opened) % 2:
            raise fault
        yield still_frame(float(len(opened)), len(opened), b"")
        raise fault

    with Capture("a", frames, BackOff(0.02, 0.02)) as capture:
        wait_for(lambda: len(opened) >= 6, 10)
        assert capture.reconnects >= 5
        assert capture.frames_read >= 2


def test_the_last_picture_of_a_folder_is_not_taken_for_a_new_one_when_it_is_opened_again(tmp_path: Path) -> None:
    def put(name: str, age_seconds: float) -> None:
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, (time.time() - age_seconds,) * 2)

    put("1.jpg", 20)
    with Capture("a", lambda: open_source(str(tmp_path), 0.01), BackOff(0.01, 0.01)) as capture:
        wait_for(lambda: capture.reconnects >= 3, 10)
        assert capture.frames_read == 1
        assert capture.state == "lost"
        put("2.jpg", 10)
        wait_for(lambda: capture.frames_read == 2, 10)
        newest = capture.take()
    assert newest is not None
    assert newest.jpeg() == b"2.jpg"


def test_waits_grow_until_a_frame_comes() -> None:
    waits: list[str] = []

    class Recorded(BackOff):
        def next_seconds(self) -> float:
            waits.append("wait")
            super().next_seconds()
            return 0.001

        def reset(self) -> None:
            waits.append("reset")
            super().reset()

    def frames() -> Iterator[Frame]:
        if waits.count("wait") == 3:
            yield still_frame(0.0, 0, b"")
        raise SourceLost("cut")

    with Capture("a", frames, Recorded()):
        wait_for(lambda: "reset" in waits, 10)
    assert waits[:4] == ["wait"] * 3 + ["reset"]


def test_it_stops_while_a_source_waits() -> None:
    def frames() -> Iterator[Frame]:
        yield still_frame(0.0, 0, b"")
        time.sleep(0.3)
        yield still_frame(1.0, 1, b"")
        pytest.fail("it went on")

    with Capture("a", frames) as capture:
        wait_for(lambda: capture.frames_read == 1, 10)
    assert not capture._thread.is_alive()
