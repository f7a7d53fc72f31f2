import threading
import time
from pathlib import Path
from typing import Any

from crowdserve.client.service import PhotoCount
from crowdserve.live.assessment import Assessment
from crowdserve.live.camera import CameraWatch
from crowdserve.live.configuration import Camera
from crowdserve.live.levels import DEFAULT_LEVELS
from tests.support.cameras import noisy_jpeg, running_camera
from tests.support.waiting import wait_for

COUNT = PhotoCount(500, "dense", 1, False, "dense", {}, {}, 0.1, None)


def test_a_count_that_comes_after_the_end_is_not_published(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(noisy_jpeg(200, 60))
    asked, answer = threading.Event(), threading.Event()
    published: list[Any] = []

    def count(*_: object) -> PhotoCount:
        asked.set()
        assert answer.wait(10)
        return COUNT

    settings = {"name": "a", "source": str(tmp_path), "every": 0.1, "zones": [{"name": "picture", "limit": 10}]}
    camera = Camera.model_validate(settings)
    watch = CameraWatch(camera, Assessment(camera, DEFAULT_LEVELS), count, lambda *each: published.append(each))
    watch.start()
    assert asked.wait(10)
    watch.stop()
    answer.set()
    watch.join(10)
    assert [reading.status for reading, *_ in published if reading.status == "counted"] == []


def test_no_thread_goes_on_after_the_end(tmp_path: Path) -> None:
    """Of cameras that wait long for their next picture."""
    (tmp_path / "folder").mkdir()
    with running_camera() as camera:
        for source in (str(tmp_path / "folder"), f"{camera.url}/snapshot"):
            settings = Camera.model_validate({"name": "a", "source": source, "every": 60})
            watch = CameraWatch(settings, Assessment(settings, DEFAULT_LEVELS), lambda *_: COUNT, lambda *_: None)
            watch.start()
            wait_for(lambda: "capture a" in {thread.name for thread in threading.enumerate()})
            time.sleep(0.1)  # it waits
            watch.stop()
            watch.join(20)
            assert not {"camera a", "capture a"} & {thread.name for thread in threading.enumerate()}
