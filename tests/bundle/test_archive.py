"""Unpacking accepts complete archives of files and folders only."""

import io
import tarfile
from pathlib import Path

import pytest

from crowdserve.bundle.archive import write_tar
from crowdserve.bundle.folder import list_files
from crowdserve.bundle.manifest import Manifest
from crowdserve.bundle.unpacking import opened_bundle
from crowdserve.errors import BundleError


def packed(bundle: Path, target: Path) -> Path:
    with target.open("wb") as stream:
        write_tar(stream, bundle, list_files(bundle))
    return target


def test_folder_and_archive_have_the_same_digest(built: Path, manifest: Manifest, tmp_path: Path) -> None:
    for path in (built, packed(built, tmp_path / "bundle.tar")):
        with opened_bundle(path) as (folder, found):
            assert found == manifest
            found.check(folder)
    assert not folder.exists()


def test_truncated_archive_is_refused(built: Path, tmp_path: Path) -> None:
    path = packed(built, tmp_path / "bundle.tar")
    with tarfile.open(path) as archive:
        largest = max(archive, key=lambda member: member.size)
    path.write_bytes(path.read_bytes()[: largest.offset_data + largest.size // 2])
    with pytest.raises(BundleError, match=r"bundle.tar (cannot be unpacked|has no manifest)"), opened_bundle(path):
        pass


@pytest.mark.parametrize("content", [b"", b"no archive at all"])
def test_other_file_is_refused_as_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bundle.tar").write_bytes(content)
    with pytest.raises(BundleError, match="cannot be unpacked"), opened_bundle(tmp_path / "bundle.tar"):
        pass


def test_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="neither a folder nor a file"), opened_bundle(tmp_path / "nowhere"):
        pass


def test_prefix_and_parent_folders_are_packed(built: Path) -> None:
    stream = io.BytesIO()
    write_tar(stream, built, ["vgg16/config.pbtxt"], prefix="models/")
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue())) as archive:
        assert archive.getnames() == ["models", "models/vgg16", "models/vgg16/config.pbtxt"]
