import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from crowdserve.datasets import Sample, load_dataset, load_to_learn_from, split_samples
from crowdserve.errors import DatasetError
from tests.support.paths import ROOT

POINTS = np.array([[3.0, 4.0], [10.5, 7.25]])


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 12)).save(path)
    return path


def mat(path: Path, **content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, content)


def shanghaitech(
    root: Path, part: str, truth: str, stem: str, points: np.ndarray = POINTS, half_name: str = "train_data"
) -> None:
    half = root / part / half_name
    photo(half / "images" / f"{stem}.jpg")
    info = np.empty((1, 1), dtype=object)
    inner = np.zeros((1, 1), dtype=[("location", object), ("number", object)])
    inner[0, 0] = (points, np.array([[len(points)]]))
    info[0, 0] = inner
    mat(half / truth / f"GT_{stem}.mat", image_info=info)


@pytest.mark.parametrize("truth", ["ground-truth", "ground_truth"])
@pytest.mark.parametrize("part", ["part_A", "part_B_final"])
def test_shanghaitech(tmp_path: Path, part: str, truth: str) -> None:
    shanghaitech(tmp_path, part, truth, "IMG_1")
    for root in (tmp_path, tmp_path / part, tmp_path / part / "train_data"):
        (sample,) = load_dataset(root)
        assert (sample.dataset, sample.subset, sample.count) == ("shanghaitech", f"{part[5]}/train", 2)
        np.testing.assert_array_equal(sample.points, POINTS)


def test_photos_are_in_numeric_order_with_unique_keys(tmp_path: Path) -> None:
    for n in (10, 2, 1):
        shanghaitech(tmp_path, "part_A", "ground-truth", f"IMG_{n}")
    shanghaitech(tmp_path, "part_B", "ground-truth", "IMG_1")
    keys = [sample.key for sample in load_dataset(tmp_path)]
    assert keys == [f"shanghaitech-A-train-IMG_{n}" for n in (1, 2, 10)] + ["shanghaitech-B-train-IMG_1"]


@pytest.mark.parametrize("half", ["Train", "Test"])
def test_ucf_qnrf(tmp_path: Path, half: str) -> None:
    photo(tmp_path / half / "img_0001.jpg")
    mat(tmp_path / half / "img_0001_ann.mat", annPoints=POINTS)
    (sample,) = load_dataset(tmp_path)
    assert (sample.dataset, sample.subset) == ("ucf-qnrf", half.lower())
    np.testing.assert_array_equal(sample.points, POINTS)
    assert load_dataset(tmp_path / half)[0].count == 2


def test_ucf_cc_50(tmp_path: Path) -> None:
    photo(tmp_path / "7.jpg")
    mat(tmp_path / "7_ann.mat", annPoints=POINTS)
    (sample,) = load_dataset(tmp_path)
    assert (sample.dataset, sample.key, sample.count) == ("ucf-cc-50", "ucf-cc-50-7", 2)


def test_jhu_crowd_reads_photos_without_heads(tmp_path: Path) -> None:
    for name, lines in (("0001", "3 4 9 9 1 0\n10.5 7.25 9 9 1 0\n"), ("0002", "")):
        photo(tmp_path / "val" / "images" / f"{name}.jpg")
        (tmp_path / "val" / "gt").mkdir(exist_ok=True)
        (tmp_path / "val" / "gt" / f"{name}.txt").write_text(lines)
    first, second = load_dataset(tmp_path)
    np.testing.assert_array_equal(first.points, POINTS)
    assert (first.dataset, first.subset, second.count) == ("jhu-crowd", "val", 0)
    assert second.points.shape == (0, 2)


def test_nwpu_crowd_reads_the_photos_that_its_splits_name(tmp_path: Path) -> None:
    (tmp_path / "jsons").mkdir()
    for name in ("0001", "0002", "0003"):
        photo(tmp_path / "images" / f"{name}.jpg")
        (tmp_path / "jsons" / f"{name}.json").write_text(json.dumps({"points": POINTS.tolist()}))
    (tmp_path / "train.txt").write_text("0001 1 0\n")
    (tmp_path / "val.txt").write_text("0002 2 1\n")
    (tmp_path / "test.txt").write_text("0003 0 0\n")
    found = [(s.image.stem, s.subset, s.count) for s in load_dataset(tmp_path)]
    assert found == [("0001", "train", 2), ("0002", "val", 2)]


def test_missing_truth_is_named(tmp_path: Path) -> None:
    shanghaitech(tmp_path, "part_A", "ground-truth", "IMG_1")
    photo(tmp_path / "part_A" / "train_data" / "images" / "IMG_2.jpg")
    with pytest.raises(DatasetError, match=r"GT_IMG_2\.mat is missing"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None])
def test_other_folders_are_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "set")
    with pytest.raises(DatasetError, match="set"):
        load_dataset(tmp_path / "set")


def test_official_test_halves_are_in_no_split(tmp_path: Path) -> None:
    for half in ("train_data", "test_data"):
        shanghaitech(tmp_path / "st", "part_A", "ground-truth", "IMG_1", half_name=half)
    photo(tmp_path / "qnrf" / "Test" / "img_0001.jpg")
    mat(tmp_path / "qnrf" / "Test" / "img_0001_ann.mat", annPoints=POINTS)
    assert {s.subset for s in load_dataset(tmp_path / "st")} == {"A/train", "A/test"}
    assert [s.subset for s in load_to_learn_from([tmp_path / "st"])] == ["A/train"]
    for folder in (tmp_path / "qnrf", tmp_path / "st" / "part_A" / "test_data"):
        with pytest.raises(DatasetError, match="holds only an official test half"):
            load_to_learn_from([tmp_path / "st", folder])


class TestSplit:
    @pytest.fixture
    def samples(self, tmp_path: Path) -> list[Sample]:
        for n in range(40):
            shanghaitech(tmp_path, "part_A", "ground-truth", f"IMG_{n}", np.ones((n + 1, 2)))
        for n in range(20):
            shanghaitech(tmp_path, "part_B", "ground-truth", f"IMG_{n}", np.ones((5, 2)))
        return load_dataset(tmp_path)

    def test_parts_are_divided_80_10_10_without_overlap(self, samples: list[Sample]) -> None:
        splits = split_samples(samples, seed=3)
        for part, total in (("A/train", 40), ("B/train", 20)):
            sizes = [sum(s.subset == part for s in splits[name]) for name in ("train", "test", "validate")]
            assert sizes == [total * 8 // 10, total // 10, total // 10]
        assert sorted(s.key for split in splits.values() for s in split) == sorted(s.key for s in samples)

    def test_every_split_covers_the_range_of_counts(self, samples: list[Sample]) -> None:
        validate = sorted(s.count for s in split_samples(samples, seed=3)["validate"] if s.subset == "A/train")
        assert [(count - 1) // 10 for count in validate] == [0, 1, 2, 3]

    def test_split_depends_on_the_seed_and_not_on_the_other_part(self, samples: list[Sample]) -> None:
        part = [s for s in samples if s.subset == "B/train"]
        together = split_samples(samples, seed=3)["validate"]
        assert [s for s in together if s in part] == split_samples(part, seed=3)["validate"]
        assert any(split_samples(samples, seed=s)["validate"] != together for s in range(4))


@pytest.mark.slow
def test_shanghaitech_training_halves() -> None:
    root = ROOT.parent / "shared" / "data" / "shanghaitech"
    if not root.is_dir():
        pytest.skip("the ShanghaiTech training halves are not on this machine")
    samples = load_dataset(root)
    counts = {part: [s.count for s in samples if s.subset == f"{part}/train"] for part in "AB"}
    assert {part: (len(c), sum(c), min(c), max(c)) for part, c in counts.items()} == {
        "A": (300, 162_413, 33, 3138),
        "B": (400, 49_151, 12, 576),
    }
