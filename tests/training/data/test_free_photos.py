import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crowdserve.errors import DatasetError
from studies.drawn_images import draw_images
from tests.support.paths import ROOT
from training.data.free_photos import FreePhoto, fetch_photos, read_photos

PAGE = ROOT / "docs" / "explanation" / "false-positives.md"


@pytest.fixture
def installed() -> list[FreePhoto]:
    """The photos of an installed package."""
    return [photo for photo in read_photos("test") if photo.package == "scikit-learn"]


def test_free_photos_are_many_and_disjoint_from_training() -> None:
    test, training = read_photos("test"), read_photos("training")
    assert len(test) + len(draw_images()) >= 50
    assert len({photo.name for photo in test + training}) == len({photo.sha256 for photo in test + training})
    assert not {photo.package for photo in test} & {photo.package for photo in training}
    assert all(photo.licence and photo.shows and len(photo.sha256) == 16 for photo in test + training)


def test_drawn_images_are_repeatable_and_distinct() -> None:
    images, again = draw_images(), draw_images()
    assert len({pixels.tobytes() for pixels in images.values()}) == len(images)
    assert all(np.array_equal(images[name], again[name]) for name in again)
    assert {(p.shape, p.dtype) for p in images.values()} == {((480, 640, 3), np.dtype(np.uint8))}


def test_page_lists_counts_and_licence_of_every_photo() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    first_cells = {row.split(" | ")[0].removeprefix("| ") for row in rows}
    assert first_cells >= {photo.name for photo in read_photos("test")} | set(draw_images())
    for photo in read_photos("test"):
        (row,) = (row for row in rows if row.startswith(f"| {photo.name} |"))
        assert photo.licence in row
        assert photo.source in row


def test_photos_are_fetched_once(installed: list[FreePhoto], tmp_path: Path) -> None:
    targets = fetch_photos(installed, tmp_path)
    assert [path.name for path in targets] == ["china.png", "flower.png"]
    with Image.open(targets[0]) as image:
        assert (image.size, image.mode) == ((640, 427), "RGB")
    stamps = [path.stat().st_mtime_ns for path in targets]
    assert [path.stat().st_mtime_ns for path in fetch_photos(installed, tmp_path)] == stamps


def test_unlisted_file_is_refused(installed: list[FreePhoto], tmp_path: Path) -> None:
    for change, message in (({"sha256": "0" * 16}, "has the hash"), ({"path": "sklearn/none.jpg"}, "has no sklearn")):
        with pytest.raises(DatasetError, match=message):
            fetch_photos([dataclasses.replace(installed[0], **change)], tmp_path)
    assert not list(tmp_path.iterdir())
