"""Pushing to a folder and to S3 is atomic and never overwrites."""

import base64
import hashlib
from pathlib import Path

import pytest

from crowdserve.bundle.bucket import BucketStore
from crowdserve.bundle.manifest import FileEntry, Manifest, read_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from crowdserve.bundle.placement import FolderStore, Store, place_bundle
from crowdserve.errors import BundleError


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty target of each kind."""
    if request.param == "folder":
        return FolderStore(tmp_path / "claim" / "2026")
    return BucketStore(f"s3://{request.getfixturevalue('s3')}/crowd/2026")


class Interrupted:
    """A store that fails after some files."""

    def __init__(self, store: Store, files: int) -> None:
        self.address, self.listing, self._store, self._left = store.address, store.listing, store, files

    def put(self, path: str, file: Path, entry: FileEntry) -> None:
        if not self._left:
            raise BundleError("the line is dead")
        self._left -= 1
        self._store.put(path, file, entry)


def test_push_copies_all_files_and_resends_none(built: Path, manifest: Manifest, store: Store) -> None:
    sent: list[int] = []
    place_bundle(built, manifest, store, sent.append)
    assert sum(sent) == manifest.size_bytes + (built / MANIFEST_FILE).stat().st_size
    expected = {path: entry.sha256 for path, entry in manifest.files.items()}
    assert store.listing() == {**expected, MANIFEST_FILE: manifest.digest.removeprefix("sha256:")}
    place_bundle(built, manifest, Interrupted(store, files=0))  # would fail if it sent a file


@pytest.mark.parametrize("files", [0, 1, 9])
def test_interrupted_push_has_no_manifest_and_resumes(
    built: Path, manifest: Manifest, store: Store, files: int
) -> None:
    with pytest.raises(BundleError, match="the line is dead"):
        place_bundle(built, manifest, Interrupted(store, files))
    assert len(store.listing()) == files
    assert MANIFEST_FILE not in store.listing()
    place_bundle(built, manifest, Interrupted(store, files=len(manifest.files) + 1 - files))
    assert len(store.listing()) == len(manifest.files) + 1


def test_other_bundle_does_not_overwrite_a_target(bundle: Path, built: Path, manifest: Manifest, store: Store) -> None:
    place_bundle(built, manifest, store)
    before = store.listing()
    (bundle / "vgg16" / "config.pbtxt").write_text("another")
    entry = {"vgg16/config.pbtxt": FileEntry("0" * 64, 7)}
    other = Manifest(manifest.crowdserve, "gpu", manifest.models, {**manifest.files, **entry})
    (bundle / MANIFEST_FILE).write_bytes(other.to_bytes())
    with pytest.raises(BundleError, match=r"holds something else: manifest.json, vgg16/config.pbtxt.*new address"):
        place_bundle(bundle, other, store)
    assert store.listing() == before


def test_conflicting_files_are_named(built: Path, manifest: Manifest, store: Store, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    strange.write_text("x")
    entry = FileEntry(hashlib.sha256(b"x").hexdigest(), 1)
    for number in range(7):
        store.put(f"notes-{number}.txt", strange, entry)
    with pytest.raises(BundleError, match=r"something else: notes-0.txt.* and 2 more"):
        place_bundle(built, manifest, store)


def test_folder_is_verified_after_copying(built: Path, manifest: Manifest, tmp_path: Path) -> None:
    target = tmp_path / "claim"
    (target / "lost+found").mkdir(parents=True)
    place_bundle(built, manifest, FolderStore(target))
    read_manifest(target).check(target)
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*") if path.is_file()} == {0o644}
    assert not list(target.rglob(".*"))


@pytest.mark.parametrize("name", [".hidden/model.py", "extra/model.py", "link"])
def test_a_target_with_anything_else_in_it_is_refused(
    built: Path, manifest: Manifest, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch() if name != "link" else (tmp_path / name).symlink_to(built)
    with pytest.raises(BundleError, match=f"holds something else: {name}"):
        place_bundle(built, manifest, FolderStore(tmp_path))


def test_what_a_killed_push_left_half_written_is_replaced(built: Path, manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "csrnet_a" / "1").mkdir(parents=True)
    (tmp_path / "csrnet_a" / "1" / ".model.onnx.partial").write_text("half of it")
    place_bundle(built, manifest, FolderStore(tmp_path))
    manifest.check(tmp_path)


def test_file_as_target_is_refused(built: Path, manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="is a file; name a folder"):
        place_bundle(built, manifest, FolderStore(tmp_path / "file"))
    with pytest.raises(BundleError, match="cannot be written"):
        FolderStore(tmp_path / "file" / "x").put("a", built / MANIFEST_FILE, FileEntry("", 0))


def test_pushed_folders_are_world_readable_under_any_umask(
    built: Path, manifest: Manifest, tmp_path: Path, private_umask: None
) -> None:
    place_bundle(built, manifest, FolderStore(tmp_path / "claim" / "models" / "1"))
    folders = [path for path in (tmp_path / "claim", *(tmp_path / "claim").rglob("*")) if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o755}


def test_folder_that_cannot_be_read_is_named(built: Path, manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read: File name too long"):
        place_bundle(built, manifest, FolderStore(tmp_path / ("x" * 300)))


def test_s3_upload_sends_a_checksum(built: Path, manifest: Manifest, s3: str) -> None:
    import boto3

    place_bundle(built, manifest, BucketStore(f"s3://{s3}/crowd"))
    for path, entry in manifest.files.items():
        found = boto3.client("s3").head_object(Bucket=s3, Key=f"crowd/{path}", ChecksumMode="ENABLED")
        assert base64.b64decode(found["ChecksumSHA256"]).hex() == entry.sha256
        assert found["ContentLength"] == entry.size_bytes


def test_longer_prefix_is_a_different_target(built: Path, manifest: Manifest, s3: str) -> None:
    place_bundle(built, manifest, BucketStore(f"s3://{s3}/crowd/1"))
    assert BucketStore(f"s3://{s3}/crowd/").address == f"s3://{s3}/crowd"
    assert BucketStore(f"s3://{s3}/crowd/10").listing() == {}
    place_bundle(built, manifest, BucketStore(f"s3://{s3}/crowd/10"))


def test_object_of_another_tool_is_not_trusted(built: Path, manifest: Manifest, s3: str) -> None:
    import boto3

    boto3.client("s3").upload_file(str(built / MANIFEST_FILE), s3, f"crowd/{MANIFEST_FILE}")
    store = BucketStore(f"s3://{s3}/crowd")
    assert store.listing() == {MANIFEST_FILE: "unknown"}
    with pytest.raises(BundleError, match=r"something else: manifest.json"):
        place_bundle(built, manifest, store)


@pytest.mark.parametrize("address", ["s3://", "s3://bucket", "s3://bucket/", "s3:///prefix"])
def test_s3_url_needs_bucket_and_prefix(address: str) -> None:
    with pytest.raises(BundleError, match="expected s3://BUCKET/PREFIX"):
        BucketStore(address)


def test_s3_errors_suggest_a_remedy(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match=r"no-such-bucket/x: .*NoSuchBucket.*check the bucket, the credentials"):
        BucketStore("s3://no-such-bucket/x").listing()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(BundleError, match=r"127.0.0.1:9.*AWS_ENDPOINT_URL_S3"):
        BucketStore(f"s3://{s3}/x").listing()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(BundleError, match=r"credentials"):
        BucketStore(f"s3://{s3}/x").listing()
