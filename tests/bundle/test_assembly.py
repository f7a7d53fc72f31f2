"""The contents of a bundle; the same models give the same bytes."""

import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import crowdserve
from crowdserve.bundle.assembly import CLASSIFIER, build_bundle
from crowdserve.bundle.folder import list_files
from crowdserve.bundle.manifest import Manifest, read_manifest
from crowdserve.bundle.unpacking import opened_bundle
from crowdserve.cards import CARDS, ENSEMBLES
from crowdserve.cards.records import model_sha256
from crowdserve.errors import BundleError, RepositoryError
from crowdserve.local.triton import EmbeddedTriton
from crowdserve.scene.names import STEM
from crowdserve.triton.config import PROFILES, Profile, repository_configs
from crowdserve.triton.repository import render_repository
from tests.support.paths import UNREADABLE


@pytest.fixture
def source(small_repository: Path, tmp_path: Path) -> Path:
    """A repository that a test may change."""
    return shutil.copytree(small_repository, tmp_path / "source")


@pytest.mark.parametrize("profile", PROFILES)
def test_bundle_is_a_repository_of_its_profile(small_repository: Path, tmp_path: Path, profile: Profile) -> None:
    folder = tmp_path / "bundle"
    manifest = build_bundle(small_repository, folder, profile)
    assert (manifest.profile, manifest.crowdserve) == (profile, crowdserve.__version__)
    assert manifest.models == dict.fromkeys(CARDS, (1,))
    for name, text in repository_configs(profile).items():
        assert (folder / name / "config.pbtxt").read_text() == text
    for name in CARDS:
        model = folder / name / "1" / "model.onnx"
        assert not model.is_symlink()
        assert model.read_bytes() == (small_repository / name / "1" / "model.onnx").read_bytes()
        assert (folder / name / "1" / "model.py").is_file() is (profile == "embedded")
    assert {f"vgg16/1/{CLASSIFIER}.npz", f"vgg16/1/{CLASSIFIER}.json"} <= set(manifest.files)
    assert manifest == read_manifest(folder)
    manifest.check(folder)


def test_bundle_is_valid_without_its_empty_files_and_folders(built: Path, tmp_path: Path) -> None:
    kept = [path for path in list_files(built) if (built / path).stat().st_size]
    for path in kept:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built / path, tmp_path / path)
    read_manifest(tmp_path).check(tmp_path)
    assert all(list((tmp_path / ensemble.name / "1").iterdir()) for ensemble in ENSEMBLES.values())


@pytest.mark.e2e
def test_triton_serves_an_unchanged_bundle(small_repository: Path, tmp_path: Path) -> None:
    build_bundle(small_repository, tmp_path / "bundle.tar", "embedded")
    with (
        opened_bundle(tmp_path / "bundle.tar") as (folder, _),
        EmbeddedTriton(folder, threads=1) as triton,
    ):
        assert triton.http_url


def test_same_models_give_the_same_bytes(source: Path, tmp_path: Path) -> None:
    first = build_bundle(source, tmp_path / "a.tar", "gpu")
    for path in source.rglob("*"):
        os.utime(path, (1, 1))
        if path.is_file():
            path.chmod(0o600)
    (source / "vgg16" / "1" / ".DS_Store").write_text("a file manager's")
    render_repository(source, tmp_path / "embedded", "embedded")
    second = build_bundle(tmp_path / "embedded", tmp_path / "b.tar", "gpu")
    assert first.digest == second.digest
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_another_model_gives_another_digest(source: Path, tmp_path: Path, manifest: Manifest) -> None:
    (source / "csrnet_a" / "1").rename(source / "csrnet_a" / "2")
    other = build_bundle(source, tmp_path / "bundle", "gpu")
    assert other.models["csrnet_a"] == (2,)
    assert other.digest != manifest.digest


def test_archive_has_no_user_or_time(small_repository: Path, tmp_path: Path) -> None:
    build_bundle(small_repository, tmp_path / "bundle.tar", "gpu")
    with tarfile.open(tmp_path / "bundle.tar") as archive:
        members = archive.getmembers()
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
    assert {(m.isdir(), m.mode) for m in members} == {(True, 0o755), (False, 0o644)}
    assert [m.name for m in members] == ["manifest.json", *sorted(m.name for m in members[1:])]
    assert not list(tmp_path.glob(".*"))  # nothing is left beside it


@pytest.mark.parametrize("target", ["full", "file", "folder.tar"])
def test_occupied_target_is_refused(source: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "full" / "x").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "folder.tar").mkdir()
    with pytest.raises(BundleError, match="name a new"):
        build_bundle(source, tmp_path / target, "gpu")


def test_empty_folder_and_an_old_archive_are_replaced(source: Path, tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "old.tar").write_text("old")
    for target in ("empty", "old.tar"):
        assert build_bundle(source, tmp_path / target, "gpu") == manifest


def test_unusable_classifier_is_refused_before_bundling(source: Path, tmp_path: Path) -> None:
    folder = source / "vgg16" / "1"
    assert CLASSIFIER == STEM
    (folder / f"{CLASSIFIER}.npz").write_bytes(b"another")
    with pytest.raises(BundleError, match=r"scene_classifier.json is of a file with SHA-256 .* none beside it"):
        build_bundle(source, tmp_path / "bundle", "gpu")
    (folder / f"{CLASSIFIER}.json").unlink()
    with pytest.raises(BundleError, match=r"lacks scene_classifier.json"):
        build_bundle(source, tmp_path / "bundle", "gpu")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["meta.json", "evaluation.json"])
def test_model_that_its_record_does_not_describe_is_refused(source: Path, tmp_path: Path, name: str) -> None:
    folder = source / "csrnet_a" / "1"
    (folder / name).write_text(json.dumps({"model_sha256": model_sha256(folder)}))
    build_bundle(source, tmp_path / "first", "gpu")
    shutil.copyfile(source / "csrnet_b" / "1" / "model.onnx", folder / "model.onnx")
    with pytest.raises(RepositoryError, match=rf"csrnet_a/1/{name} describes a model\.onnx with SHA-256 "):
        build_bundle(source, tmp_path / "second", "gpu")
    assert not (tmp_path / "second").exists()


def test_classifier_of_another_vgg16_is_refused(source: Path, tmp_path: Path) -> None:
    folder = source / "vgg16" / "1"
    expected = model_sha256(folder)
    with (folder / "model.onnx").open("ab") as model:
        model.write(b"\0")
    found = model_sha256(folder)
    reason = rf"{CLASSIFIER}\.json is of a classifier that was trained on .* {expected}, .* {found}; copy both"
    with pytest.raises(BundleError, match=reason):
        build_bundle(source, tmp_path / "bundle", "gpu")


def test_every_named_classifier_is_checked(source: Path, tmp_path: Path) -> None:
    folder = source / "vgg16" / "1"
    (folder / f"{CLASSIFIER}.count.json").write_text(json.dumps({"sha256": "0" * 64}))
    with pytest.raises(BundleError, match=r"scene_classifier.count.json"):
        build_bundle(source, tmp_path / "bundle", "gpu")


def test_missing_or_empty_file_is_named(source: Path, tmp_path: Path) -> None:
    (source / "csrnet_b" / "1" / "notes.txt").touch()
    with pytest.raises(BundleError, match=r"empty files.*csrnet_b/1/notes.txt"):
        build_bundle(source, tmp_path / "bundle", "gpu")
    (source / "csrnet_b" / "1" / "model.onnx").unlink()
    with pytest.raises(RepositoryError, match=r"model.onnx of csrnet_b"):
        build_bundle(source, tmp_path / "bundle", "gpu")


@pytest.mark.parametrize("text", ["[]", "{x", "{}", '"x"', b"\xff"])
def test_damaged_record_of_a_classifier_is_named(source: Path, tmp_path: Path, text: str | bytes) -> None:
    record = source / "vgg16" / "1" / f"{CLASSIFIER}.json"
    record.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BundleError, match=rf"^{record} is not a record of a scene classifier"):
        build_bundle(source, tmp_path / "bundle", "gpu")


def test_file_that_cannot_be_read_is_named(source: Path, tmp_path: Path) -> None:
    (source / "vgg16" / "1" / "notes.txt").symlink_to(UNREADABLE)
    with pytest.raises(BundleError, match=r"Input/output error; check the file, its rights"):
        build_bundle(source, tmp_path / "bundle", "gpu")
    model = source / "vgg16" / "1" / f"{CLASSIFIER}.npz"
    model.unlink()
    model.mkdir()
    with pytest.raises(BundleError, match=rf"{model}: Is a directory"):
        build_bundle(source, tmp_path / "bundle", "gpu")
    assert not list(tmp_path.glob("*bundle*"))


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_full_disk_is_reported(source: Path, tmp_path: Path, name: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(BundleError, match=rf"{tmp_path}.*: File too large; check .* the disk's space"):
            build_bundle(source, tmp_path / name, "gpu")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [source]


def test_mount_point_is_refused_as_target(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "claim"
    target.mkdir()
    own_mounts = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', target]
    if shutil.which("unshare") is None or subprocess.run([*own_mounts, "true"], check=False).returncode:
        pytest.skip("nothing may be mounted here")
    build = [sys.executable, "-m", "crowdserve", "bundle", "build", target, "--source", source]
    done = subprocess.run([*own_mounts, *build], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr == f"crowdserve: {target} is a mounted volume; name a folder inside, such as {target}/bundle\n"


def test_bundle_is_world_readable_under_any_umask(source: Path, tmp_path: Path, private_umask: None) -> None:
    build_bundle(source, tmp_path / "made" / "bundle", "gpu")
    paths = [tmp_path / "made", *(tmp_path / "made").rglob("*")]
    assert {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths} == {(True, 0o755), (False, 0o644)}
