"""The pulled bundles of a user: where they are, which one is current, and what is left when one goes."""

import shutil
from pathlib import Path

import pytest

from crowdserve.bundle.cache import CachedBundle, ModelCache, _rename_unless_there, models_folder
from crowdserve.bundle.manifest import Manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from crowdserve.bundle.pull import pull_bundle
from crowdserve.errors import BundleError


@pytest.fixture
def three(bundle: Path, manifest: Manifest, cache: ModelCache) -> list[CachedBundle]:
    """Three bundles in the cache, in the order in which they were pulled."""
    pulled = []
    for version in ("1", "2", "3"):
        other = Manifest(version, "gpu", manifest.models, manifest.files)
        (bundle / MANIFEST_FILE).write_bytes(other.to_bytes())
        pulled.append(pull_bundle(str(bundle), cache))
    return pulled


def test_the_folder_is_the_one_named_or_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert models_folder({"CROWDSERVE_MODELS": str(tmp_path)}) == tmp_path
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert models_folder({}) == tmp_path / "crowdserve" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models_folder({"CROWDSERVE_MODELS": ""}) == tmp_path / ".local" / "share" / "crowdserve" / "models"


def test_an_empty_cache_makes_no_folder(cache: ModelCache) -> None:
    assert cache.bundles() == []
    assert cache.current() is None
    assert not cache.folder.exists()
    with pytest.raises(BundleError, match=r"'ab' names 0 pulled bundles, expected .*: none"):
        cache.find("ab")


def test_the_last_pulled_is_current_until_another_is_chosen(three: list[CachedBundle], cache: ModelCache) -> None:
    assert cache.bundles() == three[::-1]
    assert cache.current() == three[2]
    cache.use(three[0])
    assert cache.current() == three[0]
    assert pull_bundle(three[1].address, cache, digest=three[1].digest) == three[1]
    assert cache.current() == three[1]


def test_a_bundle_that_goes_leaves_the_last_pulled_as_current(three: list[CachedBundle], cache: ModelCache) -> None:
    cache.use(three[0])
    cache.remove(three[0].digest)
    assert cache.current() == three[2]
    for bundle in three[1:]:
        cache.remove(bundle.digest)
    assert cache.current() is None
    assert [path.name for path in cache.folder.iterdir()] == ["current"]


def test_the_beginning_of_a_digest_names_a_bundle(three: list[CachedBundle], cache: ModelCache) -> None:
    for bundle in three:
        assert cache.find(bundle.digest) == cache.find(bundle.folder.name[:8]) == bundle
    for nobody in ("", "sha256:", "x", "../models"):
        with pytest.raises(BundleError, match=r"names \d pulled bundles, expected the beginning of one digest of: "):
            cache.find(nobody)


def test_a_bundle_that_was_spoilt_here_is_pulled_again(built: Path, cache: ModelCache) -> None:
    bundle = pull_bundle(str(built), cache)
    (bundle.folder / "vgg16" / "config.pbtxt").write_text("spoilt")
    assert cache.get(bundle.digest) is None
    bundle.manifest.check(pull_bundle(str(built), cache).folder)
    (bundle.folder / MANIFEST_FILE).unlink()  # what is left has no manifest
    assert cache.bundles() == []
    bundle.manifest.check(pull_bundle(str(built), cache).folder)


def test_a_bundle_that_an_earlier_version_pulled_is_still_here(built: Path, cache: ModelCache) -> None:
    bundle = pull_bundle(str(built), cache)
    origin = cache.folder / f"{bundle.folder.name}.json"
    origin.rename(bundle.folder / ".origin.json")  # where it was before
    assert cache.bundles() == [bundle]
    assert cache.get(bundle.digest) == bundle
    bundle.manifest.check(bundle.folder)


def test_other_folders_are_not_bundles(built: Path, cache: ModelCache) -> None:
    bundle = pull_bundle(str(built), cache)
    shutil.copytree(bundle.folder, cache.folder / "mine")
    (cache.folder / ("0" * 64)).write_text("a file")
    assert cache.bundles() == [bundle]
    assert cache.get("mine") is None


def test_a_folder_that_cannot_be_written_is_named(built: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match=rf"was not read or written, {tmp_path}/file"):
        pull_bundle(str(built), ModelCache(tmp_path / "file" / "models"))


def test_what_somebody_else_has_placed_meanwhile_stays(tmp_path: Path) -> None:
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "of").write_text(name)
    _rename_unless_there(tmp_path / "mine", tmp_path / "theirs")
    assert (tmp_path / "theirs" / "of").read_text() == "theirs"
    with pytest.raises(OSError, match="No such file"):
        _rename_unless_there(tmp_path / "nobody's", tmp_path / "new")
