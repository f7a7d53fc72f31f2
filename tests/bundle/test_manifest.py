"""What a manifest says of a folder: every difference by name, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crowdserve.bundle.manifest import MANIFEST_FILE, FileEntry, Manifest, list_files, read_manifest
from crowdserve.errors import BundleError

MODEL = "csrnet_a/1/model.onnx"


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_file_that_cannot_be_read_is_named(bundle: Path, unreadable: Path) -> None:
    (bundle / "notes.txt").symlink_to(unreadable)
    manifest = read_manifest(bundle)
    files = {**manifest.files, "notes.txt": FileEntry("0" * 64, 0)}
    other = Manifest(manifest.crowdserve, manifest.profile, manifest.models, files)
    assert other.differences(bundle) == ["notes.txt cannot be read: Input/output error"]


def test_a_bundle_as_built_is_whole(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert manifest.differences(bundle) == []
    manifest.check(bundle)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.unlink(), f"{MODEL} is missing"),
        (flip_a_bit, f"{MODEL} is changed: SHA-256 "),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), f"{MODEL} is changed: "),
        (lambda path: (path.parents[1] / "2").mkdir() or (path.parents[1] / "2" / "model.onnx").touch(), "is extra"),
        (lambda path: (path.parents[2] / "notes.txt").touch(), "notes.txt is extra"),
    ],
)  # fmt: skip
def test_a_difference_is_named(bundle: Path, spoil: Callable[[Path], object], problem: str) -> None:
    spoil(bundle / MODEL)
    manifest = read_manifest(bundle)
    (found,) = manifest.differences(bundle)
    assert problem in found
    with pytest.raises(BundleError, match=r"copy or push the whole bundle again") as caught:
        manifest.check(bundle)
    assert found in str(caught.value)


def test_every_difference_is_named_and_a_flood_is_cut(bundle: Path, manifest: Manifest) -> None:
    for path in manifest.files:
        (bundle / path).unlink()
    (bundle / "extra.txt").touch()
    expected = [f"{path} is missing" for path in manifest.files] + ["extra.txt is extra"]
    assert manifest.differences(bundle) == expected
    for number in range(30):
        (bundle / f"more-{number}").touch()
    with pytest.raises(BundleError, match=rf"and {len(expected) + 30 - 20} more"):
        manifest.check(bundle)


def test_hidden_files_and_those_of_a_volume_are_nobodys(bundle: Path, manifest: Manifest) -> None:
    for name in (".cache/huggingface/x", "csrnet_a/.model.onnx.swp", "lost+found/x"):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).touch()
    assert set(list_files(bundle)) == {*manifest.files, MANIFEST_FILE}
    assert manifest.differences(bundle) == []


@pytest.mark.parametrize(("profile", "allowed"), [("tensorrt", True), ("gpu", False)])
def test_a_plan_is_allowed_where_it_is_built_on_the_spot(
    bundle: Path, manifest: Manifest, profile: str, allowed: bool
) -> None:
    (bundle / "csrnet_a/1/model.plan").touch()
    stated = Manifest(manifest.crowdserve, profile, manifest.models, manifest.files)
    assert (stated.differences(bundle) == []) is allowed
    (bundle / "model.plan").touch()  # not beside a model
    assert "model.plan is extra" in stated.differences(bundle)


def test_a_manifest_is_read_back_and_its_digest_tells_bundles_apart(bundle: Path, manifest: Manifest) -> None:
    assert (bundle / MANIFEST_FILE).read_bytes() == manifest.to_bytes()
    assert read_manifest(bundle) == manifest
    other = Manifest(manifest.crowdserve, "tensorrt", manifest.models, manifest.files)
    assert other.digest != manifest.digest
    assert manifest.size_bytes == sum((bundle / path).stat().st_size for path in manifest.files)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(format=2), "has format 2, expected 1"),
        (lambda content: content.pop("files"), "KeyError"),
        (lambda content: content.update(files={}), "no files"),
        (lambda content: content["files"].update({"../x": {"sha256": "0", "size_bytes": 1}}), "inside the bundle"),
        (lambda content: content["files"].update({"/x": {"sha256": "0", "size_bytes": 1}}), "inside the bundle"),
        (lambda content: content["files"].update({"x": {"sha256": "0"}}), "not a manifest of a bundle"),
    ],
)
def test_a_broken_manifest_is_refused(bundle: Path, change: Callable[[dict], object], message: str) -> None:
    content = json.loads((bundle / MANIFEST_FILE).read_text())
    change(content)
    (bundle / MANIFEST_FILE).write_text(json.dumps(content))
    with pytest.raises(BundleError, match=message):
        read_manifest(bundle)


def test_what_has_no_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no manifest.json.*crowdserve bundle build"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST_FILE).write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        read_manifest(tmp_path)
