"""Counts above ground clutter, by networks that count brightness: clutter on white reduces it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from crowdserve.datasets import Sample
from studies.litter import cluttered, main

WHITE = np.full((96, 128, 3), 255, np.uint8)
HEAD = np.array([[36.0, 44.0]])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eleven white photos, each with one head."""
    for n in range(11):
        Image.fromarray(WHITE).save(tmp_path / f"{n}.png")
        savemat(tmp_path / f"{n}_ann.mat", {"annPoints": HEAD})
    return tmp_path


def test_litter_is_repeatable_and_spares_heads() -> None:
    sample = Sample(Path("none.png"), HEAD, "made", "train")
    images = [cluttered(WHITE, sample, number) for number in range(8)]
    assert len({image.tobytes() for image in images}) > 4
    assert all(np.array_equal(cluttered(WHITE, sample, n), image) for n, image in enumerate(images))
    assert all((image[40:48, 32:40] == 255).all() for image in images)


def test_command_prints_both_errors(photos: Path, small_repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(photos), "--cards", "csrnet_a", "--repository", str(small_repository)])
    plain, above_clutter = capsys.readouterr().out.splitlines()
    assert plain.startswith("csrnet_a  as they are  MAE  191.0")  # 192 white cells of 8x8 px, one head
    assert 10 < float(above_clutter.split("MAE")[1].split()[0]) < 191


def test_repository_without_the_network_is_named(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .* holds no version of csrnet_a; give another --repository"):
        main([str(photos), "--cards", "csrnet_a", "--repository", str(tmp_path / "none")])
