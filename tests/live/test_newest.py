import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from crowdserve.client.service import DensityMap
from crowdserve.live import newest
from crowdserve.live.configuration import Pictures
from crowdserve.live.newest import NewestPictures


def jpeg(width: int = 640, height: int = 480, orientation: int = 1, seed: int = 0) -> bytes:
    """Noise: what is finer than a cell is gone when it is pixelated."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(file, format="JPEG", exif=exif, quality=95)
    return file.getvalue()


def pixels(file: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(np.int64)


def shown(pictures: NewestPictures, camera: str = "a") -> bytes:
    found = pictures.look(camera)
    assert found is not None
    return found[1]


def test_pixelated_by_default() -> None:
    pictures = NewestPictures(Pictures())
    pictures.put("a", 5.0, jpeg())
    assert pictures.look("a") == (5.0, shown(pictures))
    found = pixels(shown(pictures))
    assert found.shape == (768, 1024, 3)  # 64 x 48 cells, each 16 px wide
    inside = found[:, : 1024 // 16 * 16].reshape(48, 16, 64, 16, 3)
    assert inside.std(axis=(1, 3)).max() < 4  # a cell is of one colour
    assert pixels(jpeg()).std() > 40 > 2 * found.std()


def test_original_if_the_site_says_so_and_none() -> None:
    pictures = NewestPictures(Pictures(live="original"))
    pictures.put("a", 5.0, jpeg())
    assert pixels(shown(pictures)).std() > 40
    hidden = NewestPictures(Pictures(live="none"))
    hidden.put("a", 5.0, jpeg())
    assert hidden.look("a") is None


def test_a_picture_is_hidden_from_the_moment_on_that_the_site_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = NewestPictures(Pictures(live="original"))
    pictures.put("a", 5.0, jpeg())

    def drawn(picture: newest.Newest, form: str) -> bytes:
        pictures.change(Pictures(), {"a"})  # while the original is drawn
        return form.encode()

    with monkeypatch.context() as patch:
        patch.setattr(newest, "_drawn", drawn)
        pictures.look("a")
    assert pixels(shown(pictures)).shape == (768, 1024, 3)
    pictures.change(Pictures(live="none"), {"a"})
    assert pictures.look("a") is None


@pytest.mark.parametrize("form", ["pixelated", "original"])
def test_what_a_camera_writes_into_its_files_is_not_shown(form: str) -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(jpeg())).save(file, format="JPEG", comment=b"owner and place")
    assert b"owner and place" in file.getvalue()
    pictures = NewestPictures(Pictures.model_validate({"live": form}))
    pictures.put("a", 5.0, file.getvalue())
    assert b"owner and place" not in shown(pictures)


def test_density_lies_where_it_belongs() -> None:
    people = np.zeros((60, 80), np.float32)
    people[:10, :10] = 1.0  # upper left
    for form in ("pixelated", "original"):
        pictures = NewestPictures(Pictures.model_validate({"live": form}))
        pictures.put("a", 5.0, jpeg())
        plain = pixels(shown(pictures))
        pictures.put("a", 6.0, jpeg(seed=1), None)
        pictures.put("a", 7.0, jpeg(), DensityMap(people, 8.0))
        changed = np.abs(pixels(shown(pictures)) - plain).mean(axis=2)
        height, width = changed.shape
        assert changed[: height // 8, : width // 10].mean() > 40
        assert changed[height // 2 :, width // 2 :].mean() < 2


def test_a_picture_that_lies_on_its_side_is_turned() -> None:
    for form in ("pixelated", "original"):
        pictures = NewestPictures(Pictures.model_validate({"live": form}))
        pictures.put("a", 5.0, jpeg(orientation=6), DensityMap(np.ones((80, 60), np.float32), 8.0))
        height, width, _ = pixels(shown(pictures)).shape
        assert height > width


def test_the_same_file_keeps_its_density_and_only_the_newest_is_kept() -> None:
    pictures = NewestPictures(Pictures())
    file, density = jpeg(), DensityMap(np.ones((60, 80), np.float32), 8.0)
    pictures.put("a", 5.0, file, density)
    with_density = shown(pictures)
    pictures.put("a", 5.0, file)
    assert shown(pictures) == with_density
    pictures.put("a", 6.0, jpeg(seed=1))
    assert shown(pictures) != with_density
    assert pictures.taken_at("a") == 6.0
    assert len(pictures._pictures) == len(pictures._shown) == 1


def test_density_is_wanted_for_a_minute_after_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(newest.time, "monotonic", lambda: clock[0])
    pictures = NewestPictures(Pictures())
    pictures.put("a", 5.0, jpeg())
    assert not pictures.is_wanted("a")
    pictures.look("a")
    assert pictures.is_wanted("a")
    clock[0] += 61
    assert not pictures.is_wanted("a")


def test_a_camera_that_is_gone_is_forgotten() -> None:
    pictures = NewestPictures(Pictures())
    pictures.put("a", 5.0, jpeg())
    shown(pictures)
    pictures.change(Pictures(), set())
    assert pictures.look("a") is None
    assert not pictures._shown


def test_several_who_look_at_once_have_it_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, draw = [], newest._drawn

    def slowly(picture: newest.Newest, form: str) -> bytes:
        drawn.append(picture)
        time.sleep(0.05)
        return draw(picture, form)

    monkeypatch.setattr(newest, "_drawn", slowly)
    pictures = NewestPictures(Pictures())
    pictures.put("a", 5.0, jpeg())
    with ThreadPoolExecutor(4) as pool:
        seen = set(pool.map(lambda _: shown(pictures), range(4)))
    assert (len(seen), len(drawn)) == (1, 1)
