from collections.abc import Iterator
from itertools import islice

import pytest

from crowdserve.live.errors import SourceLost
from crowdserve.live.frames import small_grey
from crowdserve.live.sources import open_source
from tests.support.cameras import TestCamera, running_camera


@pytest.fixture
def camera() -> Iterator[TestCamera]:
    with running_camera() as running:
        yield running


@pytest.mark.parametrize("with_lengths", [True, False])
def test_mjpeg(camera: TestCamera, with_lengths: bool) -> None:
    camera.with_lengths = with_lengths
    frames = list(islice(open_source(f"{camera.url}/stream", 5), 3))
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert len({frame.jpeg() for frame in frames}) == 3
    assert small_grey(frames[0].jpeg()).shape == (180, 320)


def test_snapshots_are_asked_for_as_often_as_they_are_counted(camera: TestCamera) -> None:
    first, *_, last = islice(open_source(f"{camera.url}/snapshot", 0.1), 4)
    assert 0.3 <= last.at - first.at < 1.5
    assert camera.asked == ["/snapshot"] * 4


@pytest.mark.parametrize("path", ["stream", "snapshot"])
def test_a_camera_that_asks_for_a_password(camera: TestCamera, path: str) -> None:
    camera.password = "p@ss/word"
    address = camera.url.replace("http://", "http://user:p%40ss%2Fword@")
    assert next(open_source(f"{address}/{path}", 0.1)).number == 0
    with pytest.raises(SourceLost, match=r"the camera refuses user and password, or asks for them \(HTTP 401\)"):
        next(open_source(f"{camera.url}/{path}", 0.1))


def test_a_camera_that_is_not_there(camera: TestCamera) -> None:
    with pytest.raises(SourceLost, match=r"the camera has nothing at this path \(HTTP 404\)"):
        next(open_source(f"{camera.url}/nothing", 5))


def test_a_stream_that_is_cut(camera: TestCamera) -> None:
    frames = open_source(f"{camera.url}/stream", 5)
    next(frames)
    camera.cut = True
    with pytest.raises(SourceLost):
        list(frames)
