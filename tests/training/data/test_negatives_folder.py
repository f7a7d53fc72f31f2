from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.negatives_folder import main, views


def test_views_are_the_image_its_mirror_and_its_quarters() -> None:
    image = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
    whole, mirrored, *quarters = views(image)
    np.testing.assert_array_equal(whole, image)
    np.testing.assert_array_equal(mirrored[:, ::-1], image)
    rows = [np.concatenate(quarters[i : i + 2], axis=1) for i in (0, 2)]
    np.testing.assert_array_equal(np.concatenate(rows), image)


def test_folder_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shades = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    Image.fromarray(shades).save(photos / "a.png")
    for _ in range(2):
        main([str(tmp_path / "empty"), "--count", "10", "--photos", str(photos)])
    assert capsys.readouterr().out.splitlines() == [f"16 images in {tmp_path / 'empty'}"] * 2
