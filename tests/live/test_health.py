import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from crowdserve.live.frames import small_grey
from crowdserve.live.health import Health
from tests.support.cameras import noisy_jpeg
from tests.support.paths import ROOT

PHOTO = (ROOT / "examples" / "pedestrians.jpg").read_bytes()


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, format="JPEG", quality=90)
    return file.getvalue()


def photo(change: object = None) -> bytes:
    with Image.open(io.BytesIO(PHOTO)) as opened:
        return jpeg(change(opened) if callable(change) else opened)


def noise(mean: float, deviation: float) -> bytes:
    values = np.random.default_rng(3).normal(mean, deviation, (540, 960))
    return jpeg(Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)))


@pytest.mark.parametrize(
    ("file", "judged"),
    [
        pytest.param(photo(), "countable", id="photo"),
        pytest.param(photo(lambda p: p.point(lambda v: v // 8)), "countable", id="photo at night"),
        pytest.param(photo(lambda p: p.filter(ImageFilter.GaussianBlur(4))), "countable", id="photo out of focus"),
        pytest.param(noisy_jpeg(200, 60), "countable", id="test picture"),
        pytest.param(noise(4, 3), "black", id="lens cap, with noise"),
        pytest.param(jpeg(Image.new("L", (960, 540), 0)), "black", id="no signal"),
        pytest.param(noise(120, 8), "covered", id="bag over the lens, with noise"),
        pytest.param(jpeg(Image.new("RGB", (960, 540), (0, 0, 255))), "covered", id="blue screen"),
        pytest.param(photo(lambda p: p.filter(ImageFilter.GaussianBlur(90))), "covered", id="hand on the lens"),
    ],
)
def test_what_shows_nothing(file: bytes, judged: str) -> None:
    assert Health(60).judge(small_grey(file), 0) == judged


def test_frozen_after_the_same_picture_for_long() -> None:
    health, other = Health(60), noisy_jpeg(200, 60)
    judged = [health.judge(small_grey(PHOTO), at) for at in (0, 30, 59.9, 60, 300)]
    assert judged == ["countable"] * 3 + ["frozen"] * 2
    assert health.judge(small_grey(other), 301) == "countable"
    assert health.judge(small_grey(PHOTO), 302) == "countable"
    assert health.judge(small_grey(PHOTO), 362) == "frozen"
    health.forget()
    assert health.judge(small_grey(PHOTO), 363) == "countable"


def test_a_quiet_scene_with_a_sensors_noise_is_not_frozen() -> None:
    with Image.open(io.BytesIO(PHOTO)) as opened:
        scene = np.asarray(opened.convert("RGB")).astype(float)
    draw, health = np.random.default_rng(0), Health(60)
    for at in range(0, 600, 60):
        frame = np.clip(scene + draw.normal(0, 1.5, scene.shape), 0, 255).astype(np.uint8)
        assert health.judge(small_grey(jpeg(Image.fromarray(frame))), at) == "countable"
