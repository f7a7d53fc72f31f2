import sys
from pathlib import Path

import pytest

from crowdserve.datasets import load_dataset, split_samples
from crowdserve.errors import DatasetError, PlatformError, SetupError
from crowdserve.evaluation.photos import SPLIT_SEED, LabelledPhoto, choose_photos
from tests.support.datasets import write_dataset

MANY = tuple((100, heads) for heads in range(40))


def names(photos: list[LabelledPhoto]) -> list[str]:
    return [photo.sample.image.stem for photo in photos]


def test_photo_in_two_folders_is_evaluated_once(tmp_path: Path) -> None:
    write_dataset("shanghaitech", tmp_path)
    photos = choose_photos([tmp_path, tmp_path / "part_B"])
    assert names(photos) == [f"IMG_{n}" for n in range(1, 6)]
    assert {photo.folder for photo in photos} == {tmp_path}


def test_two_datasets_of_one_layout_are_both_evaluated(tmp_path: Path) -> None:
    for camera in ("north", "south"):
        write_dataset("ucf-cc-50", tmp_path / camera)
    photos = choose_photos([tmp_path / "north", tmp_path / "south"])
    assert len({photo.image for photo in photos}) == 10
    assert len({photo.sample.key for photo in photos}) == 5


@pytest.mark.parametrize("subset", ["test", "B", "B/test"])
def test_subset_selects_a_part_or_a_half(tmp_path: Path, subset: str) -> None:
    write_dataset("shanghaitech", tmp_path)
    assert len(choose_photos([tmp_path], subset=subset)) == 5


def test_unknown_subset_lists_the_known_ones(tmp_path: Path) -> None:
    write_dataset("nwpu-crowd", tmp_path)
    with pytest.raises(DatasetError, match=r"subset 'test'; nwpu-crowd: val \(5 photos\)"):
        choose_photos([tmp_path], subset="test")


def test_splits_are_disjoint_tenths(tmp_path: Path) -> None:
    write_dataset("ucf-cc-50", tmp_path, MANY)
    splits = [set(names(choose_photos([tmp_path], split=name))) for name in ("train", "test", "validate")]
    assert [len(split) for split in splits] == [32, 4, 4]
    assert len(set.union(*splits)) == 40
    with pytest.raises(SetupError, match=r"'dev'; expected one of train, test, validate"):
        choose_photos([tmp_path], split="dev")


def test_no_photo_of_an_official_test_half_is_in_a_split(tmp_path: Path) -> None:
    write_dataset("shanghaitech", tmp_path, MANY)
    half = tmp_path / "part_B" / "test_data"
    assert {photo.sample.subset for photo in choose_photos([tmp_path])} == {"B/test"}
    with pytest.raises(DatasetError, match="of a training half is; leave out --split"):
        choose_photos([tmp_path], split="train")
    half.rename(half.with_name("train_data"))
    assert len(choose_photos([tmp_path], split="train")) == 32


def test_split_of_few_photos_may_be_empty(tmp_path: Path) -> None:
    write_dataset("ucf-cc-50", tmp_path, ((100, 1),))
    chosen = split_samples(load_dataset(tmp_path), SPLIT_SEED)
    for name, samples in chosen.items():
        if not samples:
            with pytest.raises(DatasetError, match="leave out --split"):
                choose_photos([tmp_path], split=name)
    assert sum(not samples for samples in chosen.values()) == 2


def test_larger_limit_includes_the_photos_of_a_smaller_one(tmp_path: Path) -> None:
    write_dataset("ucf-cc-50", tmp_path, MANY)
    everything = names(choose_photos([tmp_path]))
    few, more = (names(choose_photos([tmp_path], limit=limit)) for limit in (4, 20))
    assert (len(few), len(more)) == (4, 20)
    assert set(few) < set(more)
    assert more == [name for name in everything if name in more]
    assert more != everything[:20]
    assert names(choose_photos([tmp_path], limit=99)) == everything


def test_photos_without_labels_suggest_the_count_command(tmp_path: Path) -> None:
    (photo, *_) = write_dataset("jhu-crowd", tmp_path / "jhu")
    with pytest.raises(DatasetError, match=r"none of the layouts .*without labels: crowdserve count"):
        choose_photos([photo.parent.parent / "gt"])


def test_broken_labels_name_their_folder(tmp_path: Path) -> None:
    write_dataset("ucf-cc-50", tmp_path)
    (tmp_path / "3_ann.mat").write_bytes(b"no matrix")
    with pytest.raises(DatasetError, match=f"labels of {tmp_path} cannot be read"):
        choose_photos([tmp_path])


def test_missing_scipy_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset("ucf-cc-50", tmp_path)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(PlatformError, match=r"pip install 'crowdserve\[evaluate\]'"):
        choose_photos([tmp_path])
