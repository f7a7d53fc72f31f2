import threading
from pathlib import Path
from typing import Any

from crowdserve.client.service import PhotoCount
from crowdserve.live.assessment import Assessment
from crowdserve.live.camera import CameraWatch
from crowdserve.live.configuration import Camera
from crowdserve.live.levels import DEFAULT_LEVELS
from tests.support.cameras import noisy_jpeg


def test_a_count_that_comes_after_the_end_is_not_published(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(noisy_jpeg(200, 60))
    asked, answer = threading.Event(), threading.Event()
    published: list[Any] = []

    def count(*_: object) -> PhotoCount:
        asked.set()
        assert answer.wait(10)
        return PhotoCount(500, "dense", 1, False, "dense", {}, {}, 0.1, None)

    settings = {"name": "a", "source": str(tmp_path), "every": 0.1, "zones": [{"name": "picture", "limit": 10}]}
    camera = Camera.model_validate(settings)
    watch = CameraWatch(camera, Assessment(camera, DEFAULT_LEVELS), count, lambda *each: published.append(each))
    watch.start()
    assert asked.wait(10)
    watch.stop()
    answer.set()
    watch.join(10)
    assert [reading.status for reading, *_ in published if reading.status == "counted"] == []
