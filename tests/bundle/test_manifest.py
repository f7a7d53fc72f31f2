"""Comparing a folder with its manifest lists every difference by name."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crowdserve.bundle.folder import list_files
from crowdserve.bundle.manifest import FileEntry, Manifest, read_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from crowdserve.errors import BundleError
from tests.support.paths import UNREADABLE

MODEL = "csrnet_a/1/model.onnx"


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_file_that_cannot_be_read_is_named(bundle: Path) -> None:
    (bundle / "notes.txt").symlink_to(UNREADABLE)
    manifest = read_manifest(bundle)
    files = {**manifest.files, "notes.txt": FileEntry("0" * 64, 0)}
    other = Manifest(manifest.crowdserve, manifest.profile, manifest.models, files)
    assert other.differences(bundle) == ["notes.txt cannot be read: Input/output error"]


def test_built_bundle_passes_verification(bundle: Path) -> None:
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
)
def test_difference_names_the_file(bundle: Path, spoil: Callable[[Path], object], problem: str) -> None:
    spoil(bundle / MODEL)
    manifest = read_manifest(bundle)
    (found,) = manifest.differences(bundle)
    assert problem in found
    with pytest.raises(BundleError, match=r"copy or push the whole bundle again") as caught:
        manifest.check(bundle)
    assert found in str(caught.value)


def test_all_differences_are_listed_up_to_a_limit(bundle: Path, manifest: Manifest) -> None:
    for path in manifest.files:
        (bundle / path).unlink()
    (bundle / "extra.txt").touch()
    expected = [f"{path} is missing" for path in manifest.files] + ["extra.txt is extra"]
    assert manifest.differences(bundle) == expected
    for number in range(30):
        (bundle / f"more-{number}").touch()
    with pytest.raises(BundleError, match=rf"and {len(expected) + 30 - 20} more"):
        manifest.check(bundle)


def test_hidden_files_and_volume_files_are_ignored(bundle: Path, manifest: Manifest) -> None:
    for name in (".cache/huggingface/x", "csrnet_a/.model.onnx.swp", "lost+found/x"):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).touch()
    assert set(list_files(bundle)) == {*manifest.files, MANIFEST_FILE}
    assert manifest.differences(bundle) == []


@pytest.mark.parametrize(("profile", "allowed"), [("tensorrt", True), ("gpu", False)])
def test_plan_built_in_the_cluster_is_allowed(bundle: Path, manifest: Manifest, profile: str, allowed: bool) -> None:
    (bundle / "csrnet_a/1/model.plan").touch()
    stated = Manifest(manifest.crowdserve, profile, manifest.models, manifest.files)
    assert (stated.differences(bundle) == []) is allowed
    (bundle / "model.plan").touch()  # not beside a model
    assert "model.plan is extra" in stated.differences(bundle)


def test_manifest_round_trip_and_digest_identify_the_bundle(bundle: Path, manifest: Manifest) -> None:
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
        (lambda content: content["files"].update({"x": {"sha256": "0", "size_bytes": -1}}), "inside the bundle"),
        *(
            (lambda content, path=path: content["files"].update({path: {"sha256": "0", "size_bytes": 1}}), "inside")
            for path in ("a/../x", "a//x", "./x", ".x", "a/.x", "..\\x", "C:x", "x\0", "", MANIFEST_FILE)
        ),
    ],
)
def test_broken_manifest_is_refused(bundle: Path, change: Callable[[dict], object], message: str) -> None:
    content = json.loads((bundle / MANIFEST_FILE).read_text())
    change(content)
    (bundle / MANIFEST_FILE).write_text(json.dumps(content))
    with pytest.raises(BundleError, match=message):
        read_manifest(bundle)


def test_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no manifest.json.*crowdserve bundle build"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST_FILE).write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        read_manifest(tmp_path)
