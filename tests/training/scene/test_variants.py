from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crowdserve.errors import DatasetError
from training.scene.features import find_photos
from training.scene.variants import MARK, VARIANTS, main, photo_of, write_variants

DRAW = np.random.default_rng(3)
PHOTO = DRAW.integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    for split in ("train", "test", "validate"):
        for route in ("dense", "sparse"):
            folder = tmp_path / split / route
            folder.mkdir(parents=True)
            Image.fromarray(PHOTO).save(folder / f"{split}-{route}-1.png")
    return tmp_path


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_is_an_image_and_another_one(name: str) -> None:
    found = VARIANTS[name](PHOTO, np.random.default_rng(0))
    assert found.dtype == np.uint8
    assert found.ndim == 3
    assert found.shape[2] == 3
    assert found.shape != PHOTO.shape or not np.array_equal(found, PHOTO)
    assert np.array_equal(found, VARIANTS[name](PHOTO, np.random.default_rng(0)))


def test_variants_are_what_they_are_called() -> None:
    made = {name: VARIANTS[name](PHOTO, np.random.default_rng(1)) for name in VARIANTS}
    for name in ("grey", "press"):
        assert (made[name] == made[name][..., :1]).all()
    assert made["night"].mean() < 0.5 * PHOTO.mean()
    assert (
        np.abs(np.diff(made["blurred"].astype(float), axis=1)).mean()
        < 0.7 * np.abs(np.diff(PHOTO.astype(float), axis=1)).mean()
    )
    assert made["part"].size < 0.7 * PHOTO.size
    copies = made["tiled"]
    assert any(np.array_equal(copies[:, : copies.shape[1] // n], copies[:, -(copies.shape[1] // n) :]) for n in (2, 3))


def test_training_photos_get_some_and_the_others_all(scenes: Path) -> None:
    written = write_variants(scenes, train=3, seed=0)
    names = {split: [p.name for p in find_photos(scenes, split)[0]] for split in ("train", "test", "validate")}
    assert written == 2 * 3 + 2 * (8 + 7)
    assert len(names["train"]) == 2 + 6
    assert len(names["test"]) == len(names["validate"]) == 2 + 8 + 7
    for split, found in names.items():
        assert {photo_of(name) for name in found} == {f"{split}-dense-1", f"{split}-sparse-1"}
        assert not any("sparse" in name and f"{MARK}tiled" in name for name in found)  # a street tiled is a crowd
    assert write_variants(scenes, train=3, seed=0) == written  # of a photo, never of a variant
    assert {split: len(find_photos(scenes, split)[0]) for split in names} == {s: len(n) for s, n in names.items()}


def test_command_says_what_it_wrote_or_lacks(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(scenes), "--train", "1"])
    assert capsys.readouterr().out == f"32 variants in {scenes}\n"
    with pytest.raises(SystemExit):
        main([str(scenes / "nothing")])
    assert "run training.scene.dataset first" in capsys.readouterr().err
    with pytest.raises(DatasetError):
        write_variants(scenes / "nothing", train=1, seed=0)
