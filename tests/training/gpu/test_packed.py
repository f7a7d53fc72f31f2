"""Packed data sets."""

from pathlib import Path

import numpy as np
import pytest

from crowdserve.datasets import load_dataset, split_samples
from crowdserve.errors import DatasetError
from crowdserve.images import decode_image
from tests.support.datasets import write_dataset
from training.gpu.packed import main, pack, read_packed


def test_packed_set_holds_photos_points_and_the_split(dataset: Path, tmp_path: Path) -> None:
    said = pack([dataset], tmp_path / "dots.npz")
    packed = read_packed(tmp_path / "dots.npz")
    samples = load_dataset(dataset)
    validates = {sample.image for sample in split_samples(samples, 0)["validate"]}
    assert (packed.name, packed.data) == ("dots", ["ucf-cc-50"])
    for photos, held in ((packed.training, False), (packed.validation, True)):
        expected = [sample for sample in samples if (sample.image in validates) == held]
        assert expected
        for photo, sample in zip(photos, expected, strict=True):
            np.testing.assert_array_equal(photo.image, decode_image(sample.image.read_bytes()))
            np.testing.assert_allclose(photo.points, sample.points, rtol=1e-6)
    assert said.startswith(f"11 photos, 66 heads, {len(packed.validation)} to validate")


def test_official_test_halves_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset("shanghaitech", tmp_path)
    with pytest.raises(DatasetError, match="holds only an official test half"):
        pack([tmp_path], tmp_path / "test.npz")
    with pytest.raises(SystemExit, match=r"error: .* only an official test half"):
        main([str(tmp_path), str(tmp_path / "test.npz")])
    assert not (tmp_path / "test.npz").exists()


def test_other_files_are_refused(dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    pack([dataset], path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match="is missing, damaged or no packed data set"):
            read_packed(path)
    np.savez(path, weight=np.zeros(3))
    with pytest.raises(DatasetError, match=r"write one with python -m training\.gpu\.packed"):
        read_packed(path)
    with pytest.raises(DatasetError, match=r"none\.npz is missing"):
        read_packed(tmp_path / "none.npz")


def test_set_without_photos_to_validate_is_refused(dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    pack([dataset], path)
    with np.load(path) as file:
        arrays = {**file, "validates": np.zeros_like(file["validates"])}
    np.savez(path, **arrays)
    with pytest.raises(DatasetError, match="too few to learn from some and validate on others"):
        read_packed(path)
    np.savez(path, **{**arrays, "validates": arrays["validates"][:-1]})
    with pytest.raises(DatasetError, match="pack the data sets again"):
        read_packed(path)
