"""Comparing a folder with its manifest lists every difference by name."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from crowdserve.bundle.folder import hash_file
from crowdserve.bundle.manifest import Manifest, read_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE, PLANS_FILE, SIGNATURE_FILE
from crowdserve.errors import BundleError

MODEL = "csrnet_a/1/model.onnx"
WHOLE_ENTRY = {"sha256": "0" * 64, "size_bytes": 1}


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_link_is_a_difference_wherever_it_points(bundle: Path, manifest: Manifest, tmp_path: Path) -> None:
    shutil.move(bundle / MODEL, tmp_path / "elsewhere")
    (bundle / MODEL).symlink_to(tmp_path / "elsewhere")  # with the right bytes at its end
    (bundle / "vgg16" / "2").symlink_to(bundle / "vgg16" / "1")
    (bundle / "nowhere").symlink_to("/nonexistent")
    os.mkfifo(bundle / "pipe")
    assert manifest.differences(bundle) == [
        f"{MODEL} is a link",
        "nowhere is a link",
        "pipe is neither a file nor a folder",
        "vgg16/2 is a link",
    ]


def test_a_bundle_behind_a_link_is_that_bundle(built: Path, manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(built)  # as KServe makes one for an image
    manifest.check(tmp_path / "models")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_a_difference(bundle: Path, manifest: Manifest) -> None:
    (bundle / "extra").mkdir(mode=0o000)
    assert manifest.differences(bundle) == ["extra is a folder that cannot be read (Permission denied)"]


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


@pytest.mark.parametrize(
    "name",
    [
        ".hidden/config.pbtxt",
        ".hidden/1/model.py",
        "extra/1/model.py",
        "csrnet_a/.model.onnx.swp",
        "csrnet_a/1/.libs/x.so",
        "lost+found/1/model.py",
        "vgg16/lost+found/x",
        ".cache/config.pbtxt",
        ".cache/1/model.py",
        ".cache/huggingface/model.py",
        ".cache/huggingface/download/x.metadata",
        ".cache/huggingface/trees/x.json",
        "vgg16/.gitattributes",
        "vgg16/manifest.json",
        "vgg16/manifest.json.sig",
        "plans.sha256",
        "MANIFEST.JSON",
    ],
)
def test_whatever_the_manifest_does_not_list_is_extra(bundle: Path, manifest: Manifest, name: str) -> None:
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_text("x")
    assert manifest.differences(bundle) == [f"{name} is extra"]


def test_empty_folders_are_extra_too_but_those_of_a_volume(bundle: Path, manifest: Manifest) -> None:
    for name in ("lost+found", ".hidden/1", "vgg16/2"):
        (bundle / name).mkdir(parents=True)
    assert manifest.differences(bundle) == [".hidden/1 is extra", "vgg16/2 is extra"]


def test_names_are_shown_as_a_terminal_may_have_them(bundle: Path, manifest: Manifest) -> None:
    for name in (b"\x1b[2J", b"\xff"):
        Path(os.fsdecode(os.fsencode(bundle) + b"/" + name)).touch()
    assert manifest.differences(bundle) == ["'\\x1b[2J' is extra", "'\\udcff' is extra"]


def test_what_stands_beside_a_bundle_by_right_is_no_difference(bundle: Path, manifest: Manifest) -> None:
    for name in (
        "manifest.json.sig",
        ".gitattributes",
        ".cache/huggingface/.gitignore",
        ".cache/huggingface/CACHEDIR.TAG",
        f".cache/huggingface/trees/{'0' * 40}.json",
        f".cache/huggingface/download/{MODEL}.metadata",
        ".cache/huggingface/download/manifest.json.lock",
    ):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_text("x")
    assert manifest.differences(bundle) == []


PLAN = "csrnet_a/1/model.plan"


def tensorrt(manifest: Manifest) -> Manifest:
    return Manifest(manifest.crowdserve, "tensorrt", manifest.models, manifest.files)


def test_plans_are_those_that_the_job_recorded(bundle: Path, manifest: Manifest) -> None:
    stated = tensorrt(manifest)
    assert stated.differences(bundle) == []  # none built yet
    (bundle / PLAN).write_bytes(b"a plan")
    assert stated.differences(bundle) == [
        "plans.sha256 is missing or damaged: let the Job that builds plans build them again"
    ]
    with (bundle / PLANS_FILE).open("wb") as file:  # as the Job writes it
        subprocess.run(["sha256sum", PLAN], cwd=bundle, stdout=file, check=True)
    assert stated.differences(bundle) == []
    assert manifest.differences(bundle) == [f"{PLAN} is extra", "plans.sha256 is extra"]
    (bundle / PLAN).write_bytes(b"another")
    (found,) = stated.differences(bundle)
    assert found.startswith(f"{PLAN} is changed: SHA-256 ")
    (bundle / PLAN).unlink()
    assert stated.differences(bundle) == [f"{PLAN} is in plans.sha256 and is no plan here"]


@pytest.mark.parametrize(
    "name", ["model.plan", "csrnet_a/model.plan", "csrnet_a/2/model.plan", "vgg16/1/other.plan", ".hidden/1/model.plan"]
)
def test_a_plan_stands_beside_its_model_alone(bundle: Path, manifest: Manifest, name: str) -> None:
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_bytes(b"a plan")
    (bundle / PLANS_FILE).write_text(f"{hash_file(bundle / name)}  {name}\n")
    assert tensorrt(manifest).differences(bundle) == [
        f"{name} is in plans.sha256 and is no plan here",
        f"{name} is extra",
    ]


@pytest.mark.parametrize(
    "content", ["{hash}  x\n", "", "{hash} {plan}\n", "{hash}  {plan}\n{hash}  {plan}\n", "\udcff", "x" * 99_999]
)
def test_a_record_of_plans_that_does_not_name_them_is_a_difference(
    bundle: Path, manifest: Manifest, content: str
) -> None:
    (bundle / PLAN).write_bytes(b"a plan")
    text = content.format(hash=hash_file(bundle / PLAN), plan=PLAN)
    (bundle / PLANS_FILE).write_bytes(text.encode(errors="surrogateescape"))
    assert any(PLANS_FILE in problem for problem in tensorrt(manifest).differences(bundle))


def test_manifest_round_trip_and_digest_identify_the_bundle(bundle: Path, manifest: Manifest) -> None:
    content = (bundle / MANIFEST_FILE).read_bytes()
    assert content == manifest.to_bytes()
    assert manifest.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"  # what sha256sum prints
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
        *(
            (
                lambda content, path=path: content["files"].update({path: {"sha256": "0" * 64, "size_bytes": 1}}),
                "inside",
            )
            for path in (
                "a\nb",
                "a\x1b[2J",
                'a"b',
                "é",
                "a b",
                "-a",
                "a\n",
                SIGNATURE_FILE,
                PLANS_FILE,
                "Manifest.JSON",
            )
        ),
        (lambda content: content["files"].update({"x": {"sha256": "0" * 64, "size_bytes": 1e400}}), "cannot be read"),
        (lambda content: content["files"].update({"VGG16/1/x": {"sha256": "0" * 64, "size_bytes": 1}}), "one place"),
        (lambda content: content["files"].update({"vgg16": {"sha256": "0" * 64, "size_bytes": 1}}), "one place"),
        (lambda content: content.update(crowdserve="\x1b[2J"), "is not a manifest"),
        (lambda content: content.update(more="x"), "by another program"),
        (lambda content: content["files"].update({"x": {"sha256": "0" * 64, "size_bytes": 1, "y": 1}}), "by another"),
        (lambda content: content, "by another program"),  # the same, written otherwise
    ],
)
def test_broken_manifest_is_refused(bundle: Path, change: Callable[[dict], object], message: str) -> None:
    content = json.loads((bundle / MANIFEST_FILE).read_text())
    change(content)
    (bundle / MANIFEST_FILE).write_text(json.dumps(content))
    with pytest.raises(BundleError, match=message):
        read_manifest(bundle)


def test_a_manifest_that_would_not_end_is_not_read(bundle: Path) -> None:
    with (bundle / MANIFEST_FILE).open("ab") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="larger than the 1,048,576 bytes"):
        read_manifest(bundle)
    (bundle / MANIFEST_FILE).unlink()
    os.mkfifo(bundle / MANIFEST_FILE)
    with pytest.raises(BundleError, match="no ordinary file"):
        read_manifest(bundle)


def test_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no manifest.json.*crowdserve bundle build"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST_FILE).write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        read_manifest(tmp_path)
