import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crowdserve.datasets import Sample, load_dataset, split_samples
from crowdserve.errors import DatasetError
from training.data.negatives_folder import write_empty_images
from training.scene.dataset import build_scene_dataset, label_by_count, label_by_domain, load_empty, main
from training.scene.route_counts import RouteCounts, append_route_counts


def make_samples(folder: Path, dataset: str, subset: str, counts: Sequence[int]) -> list[Sample]:
    images = folder / dataset / subset
    images.mkdir(parents=True)
    samples = []
    for number, count in enumerate(counts, 1):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(images / f"IMG_{number}.JPG", format="JPEG")
        samples.append(Sample(images / f"IMG_{number}.JPG", np.zeros((count, 2)), dataset, subset))
    return samples


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    dense = make_samples(tmp_path, "shanghaitech", "A/train", range(50, 450, 20))
    return dense + make_samples(tmp_path, "shanghaitech", "B/train", range(10, 310, 10))


@pytest.mark.parametrize(("count", "label"), [(0, "sparse"), (100, "sparse"), (101, "dense"), (3000, "dense")])
def test_photo_of_up_to_100_heads_is_sparse(count: int, label: str) -> None:
    sample = Sample(Path("a.jpg"), np.zeros((count, 2)), "jhu-crowd", "train")
    assert label_by_count(sample, 100) == label


@pytest.mark.parametrize(
    ("dataset", "subset", "label"),
    [
        ("shanghaitech", "A/train", "dense"),
        ("shanghaitech", "A/test", "dense"),
        ("shanghaitech", "B/train", "sparse"),
        ("ucf-qnrf", "train", "dense"),
        ("ucf-cc-50", "", "dense"),
        ("empty", "", "sparse"),
    ],
)
def test_domain_comes_from_dataset_and_part(dataset: str, subset: str, label: str) -> None:
    assert label_by_domain(Sample(Path("a.jpg"), np.zeros((5, 2)), dataset, subset)) == label


@pytest.mark.parametrize("dataset", ["jhu-crowd", "nwpu-crowd", "something-new"])
def test_dataset_of_mixed_scenes_has_no_domain(dataset: str) -> None:
    with pytest.raises(DatasetError, match=f"{dataset} .* label by count"):
        label_by_domain(Sample(Path("a.jpg"), np.zeros((5, 2)), dataset, "train"))


@pytest.mark.parametrize("labels", ["count", "domain"])
def test_every_photo_is_in_its_split_and_class(tmp_path: Path, samples: list[Sample], labels: str) -> None:
    output = tmp_path / "scenes"
    build_scene_dataset(samples, output, labels=labels, seed=5)
    split_of = {s.image: split for split, part in split_samples(samples, 5).items() for s in part}
    placed = sorted(path for path in output.glob("*/*/*"))
    assert len(placed) == len(samples)
    by_image = {sample.image: sample for sample in samples}
    for path in placed:
        sample = by_image[path.resolve()]
        expected = label_by_count(sample, 100) if labels == "count" else label_by_domain(sample)
        assert path.relative_to(output).parts[:2] == (split_of[sample.image], expected)
        assert path.is_symlink()


def count_well_on(route: str, samples: Sequence[Sample]) -> dict[str, RouteCounts]:
    """Counts with an error of 3 on one route and of -5 on the other."""
    off = {"dense": (3, -5), "sparse": (5, -3)}[route]
    return {s.key: RouteCounts(s.key, s.count, s.count + off[0], s.count + off[1]) for s in samples}


def test_better_counter_labels_a_photo(tmp_path: Path, samples: list[Sample]) -> None:
    counts = count_well_on("sparse", samples[:20]) | count_well_on("dense", samples[20:])
    manifest = build_scene_dataset(samples, tmp_path / "scenes", labels="best-counter", counts=counts)
    assert manifest["labels"] == {"strategy": "best-counter"}
    for entry in manifest["samples"]:
        expected = "sparse" if entry["subset"] == "A/train" else "dense"
        assert entry["file"].split("/")[1] == expected


def test_counts_of_other_photos_are_refused(tmp_path: Path, samples: list[Sample]) -> None:
    counts = count_well_on("dense", samples)
    key = samples[7].key
    for wrong, message in (
        (None, "give --counts"),
        ({k: v for k, v in counts.items() if k != key}, f"the counts lack {key}"),
        (counts | {key: RouteCounts(key, 3, 3, 3)}, f"{key} has {samples[7].count} heads, the counts say 3"),
    ):
        with pytest.raises(DatasetError, match=message):
            build_scene_dataset(samples, tmp_path / "scenes", labels="best-counter", counts=wrong)


def test_photos_without_counts_are_left_out(tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only photos that the networks were not trained on are labelled by their counts."""
    samples = load_dataset(dataset)
    counted = count_well_on("sparse", samples[:6]) | count_well_on("dense", samples[6:-2])
    for counts in counted.values():
        append_route_counts(counts, tmp_path / "counts.csv")
    flags = ["--labels", "best-counter", "--counts", str(tmp_path / "counts.csv"), "--output", str(tmp_path / "scenes")]
    main([str(dataset), *flags])
    entries = json.loads((tmp_path / "scenes" / "manifest.json").read_text())["samples"]
    assert {Path(entry["file"]).stem for entry in entries} == set(counted)
    assert f"{len(samples) - len(counted)} photos that were not counted" in capsys.readouterr().out


def test_manifest_lists_the_photos(tmp_path: Path, samples: list[Sample]) -> None:
    output = tmp_path / "scenes"
    build_scene_dataset(samples, output, labels="count", threshold=200, seed=5)
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["labels"] == {"strategy": "count", "threshold": 200}
    assert manifest["seed"] == 5
    assert manifest["datasets"] == ["shanghaitech A/train", "shanghaitech B/train"]
    for split, classes in manifest["photos"].items():
        for label, photos in classes.items():
            assert photos == len(list((output / split / label).glob("*")))
    assert sum(sum(classes.values()) for classes in manifest["photos"].values()) == len(samples)
    assert {entry["count"] for entry in manifest["samples"]} == {sample.count for sample in samples}


def test_copies_are_separate_files(tmp_path: Path, samples: list[Sample]) -> None:
    output = tmp_path / "scenes"
    manifest = build_scene_dataset(samples, output, labels="domain", copy=True)
    for entry in manifest["samples"]:
        copied = output / entry["file"]
        assert not copied.is_symlink()
        assert copied.read_bytes() == Path(entry["source"]).read_bytes()


def test_building_again_replaces_the_earlier_labels(tmp_path: Path, samples: list[Sample]) -> None:
    output = tmp_path / "scenes"
    build_scene_dataset(samples, output, labels="domain")
    manifest = build_scene_dataset(samples, output, labels="count")
    assert sorted(str(path.relative_to(output)) for path in output.glob("*/*/*")) == sorted(
        entry["file"] for entry in manifest["samples"]
    )
    assert all(sample.image.exists() for sample in samples)


def test_unrelated_photos_are_left_unchanged(tmp_path: Path, samples: list[Sample]) -> None:
    foreign = tmp_path / "scenes" / "train" / "dense" / "mine.jpg"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"mine")
    with pytest.raises(DatasetError, match="give a new folder"):
        build_scene_dataset(samples, tmp_path / "scenes", labels="domain")
    assert foreign.read_bytes() == b"mine"


def test_single_class_is_refused(tmp_path: Path, samples: list[Sample]) -> None:
    with pytest.raises(DatasetError, match="no sparse photo to train on"):
        build_scene_dataset(samples[:20], tmp_path / "scenes", labels="domain")
    assert not (tmp_path / "scenes").exists()


def test_dataset_given_twice_is_refused(tmp_path: Path, samples: list[Sample]) -> None:
    with pytest.raises(DatasetError, match="given twice"):
        build_scene_dataset([*samples, *samples], tmp_path / "scenes", labels="domain")


def test_command_prints_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / "absent"), "--labels", "count", "--output", str(tmp_path / "scenes")])
    assert stop.value.code == 1
    assert "absent is not a folder" in capsys.readouterr().err


def test_images_without_people_are_added_as_sparse(tmp_path: Path, samples: list[Sample]) -> None:
    write_empty_images(tmp_path / "empty", 20, seed=0)
    empty = load_empty(tmp_path / "empty")
    manifest = build_scene_dataset(samples + empty, tmp_path / "scenes", labels="domain")
    placed = [entry["file"].split("/")[1] for entry in manifest["samples"] if entry["dataset"] == "empty"]
    assert placed == ["sparse"] * 20
    assert {entry["file"].split("/")[0] for entry in manifest["samples"] if entry["dataset"] == "empty"} == {
        "train",
        "test",
        "validate",
    }


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"training\.data\.negatives_folder"):
        load_empty(tmp_path)


def test_photos_of_sparse_scenes_are_sparse_whatever_their_data_set(tmp_path: Path, samples: list[Sample]) -> None:
    cameras = make_samples(tmp_path, "jhu-crowd", "train", [3, 150, 12, 40, 5, 8, 22, 17, 31, 9, 11])
    build_scene_dataset(
        samples + cameras, tmp_path / "scenes", labels="domain", sparse={sample.image for sample in cameras}
    )
    placed = [path.parent.name for path in (tmp_path / "scenes").glob("*/*/jhu-crowd*")]
    assert placed == ["sparse"] * len(cameras)
