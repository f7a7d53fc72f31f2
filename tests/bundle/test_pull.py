"""Pulling: the same bundle from wherever it was built or pushed to, whole and verified, or nothing."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

import pytest

from crowdserve.bundle.archive import write_tar
from crowdserve.bundle.assembly import build_bundle
from crowdserve.bundle.bucket import BucketStore
from crowdserve.bundle.cache import CachedBundle, ModelCache
from crowdserve.bundle.folder import hash_file, list_files
from crowdserve.bundle.manifest import FileEntry, Manifest, read_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from crowdserve.bundle.placement import Progress
from crowdserve.bundle.publication import push_image
from crowdserve.bundle.pull import pull_bundle
from crowdserve.bundle.reference import parse_reference
from crowdserve.errors import BundleError
from crowdserve.triton.config import Profile
from crowdserve.triton.repository import render_repository


@pytest.fixture
def publish(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Brings whatever a folder holds to an address of a kind: `publish(kind, folder)`."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def publish(kind: str, folder: Path) -> str:
        if kind == "folder":
            return str(folder)
        if kind == "s3":
            store = BucketStore(f"s3://{request.getfixturevalue('s3')}/crowd/1")
            for path in list_files(folder):
                store.put(path, folder / path, _entry(folder / path))
            return store.address
        if kind == "stand_in":
            reference = parse_reference(f"{request.getfixturevalue(kind).address}/crowd/models:1")
            manifest = read_manifest(folder)
            files = {path: _entry(folder / path) for path in list_files(folder) if path != MANIFEST_FILE}
            there = Manifest(manifest.crowdserve, manifest.profile, manifest.models, files)
            push_image(folder, there, reference, base="scratch")
            return f"oci://{reference}"
        shelf = tmp_path / "shelf"
        shelf.mkdir()
        with (shelf / "bundle.tar").open("wb") as stream:
            write_tar(stream, folder, list_files(folder))
        if kind == "tar":
            return str(shelf / "bundle.tar")
        return f"{request.getfixturevalue('serve_folder')(shelf).url}/bundle.tar"

    return publish


def _entry(file: Path) -> FileEntry:
    return FileEntry(hash_file(file), file.stat().st_size)


def never(_: Manifest) -> NoReturn:
    """A watch of files that should not be fetched."""
    raise AssertionError("files were fetched")


def is_empty(cache: ModelCache) -> bool:
    """Whether nothing is left in the cache, not even hidden."""
    return not cache.folder.exists() or not list(cache.folder.iterdir())


@pytest.mark.parametrize("kind", ["folder", "tar", "web", "s3"])
def test_the_bundle_arrives_from_everywhere_and_only_once(
    kind: str, publish: Callable[..., str], built: Path, manifest: Manifest, cache: ModelCache
) -> None:
    check_arrival(publish(kind, built), built, manifest, cache)


def test_the_bundle_arrives_from_a_registry(
    registry: Any, built: Path, manifest: Manifest, cache: ModelCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    reference = parse_reference(f"{registry.address}/crowd/models:1")
    push_image(built, manifest, reference, base="scratch")
    check_arrival(f"oci://{reference}", built, manifest, cache)


def names(bundle: CachedBundle) -> list[str]:
    """What a cache with one bundle holds."""
    return [bundle.folder.name, f"{bundle.folder.name}.json", "current"]


def check_arrival(address: str, built: Path, manifest: Manifest, cache: ModelCache) -> None:
    """Pull a bundle twice; the second time no file may be fetched."""
    arrived: list[int] = []

    def watch(expected: Manifest) -> AbstractContextManager[Progress]:
        assert expected == manifest
        return nullcontext(arrived.append)

    bundle = pull_bundle(address, cache, watch=watch)
    assert sum(arrived) == manifest.size_bytes
    assert (bundle.digest, bundle.address, bundle.manifest) == (manifest.digest, address, manifest)
    assert list(list_files(bundle.folder)) == list(list_files(built))
    assert all((bundle.folder / path).read_bytes() == (built / path).read_bytes() for path in list_files(built))
    assert cache.current() == bundle
    assert sorted(path.name for path in cache.folder.iterdir()) == sorted(names(bundle))
    assert pull_bundle(address, cache, watch=never) == bundle


def _lose(bundle: Path) -> None:
    (bundle / "csrnet_a" / "1" / "model.onnx").unlink()


def _change(bundle: Path) -> None:
    model = bundle / "csrnet_a" / "1" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")


def _cut(bundle: Path) -> None:
    model = bundle / "csrnet_a" / "1" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])


def _lengthen(bundle: Path) -> None:
    model = bundle / "csrnet_a" / "1" / "model.onnx"
    model.write_bytes(model.read_bytes() + b"!")


def _add(bundle: Path) -> None:
    (bundle / "csrnet_a" / "1" / "extra.txt").write_text("!")


DAMAGES = {
    _lose: "csrnet_a/1/model.onnx is missing",
    _change: "csrnet_a/1/model.onnx is changed: SHA-256",
    _cut: "csrnet_a/1/model.onnx is changed: .* bytes, expected",
    _lengthen: "csrnet_a/1/model.onnx of .* is larger than the .* bytes of its manifest.json",
    _add: "has 'csrnet_a/1/extra.txt', which its manifest.json does not name",
}


@pytest.mark.parametrize(
    ("kind", "damage"),
    [*product(("folder", "tar", "stand_in"), DAMAGES), ("s3", _change), ("s3", _add), ("web", _change)],
)
def test_a_bundle_that_is_not_whole_is_refused_and_leaves_nothing(
    kind: str, damage: Callable[[Path], None], publish: Callable[..., str], bundle: Path, cache: ModelCache
) -> None:
    damage(bundle)
    with pytest.raises(BundleError, match=DAMAGES[damage]):
        pull_bundle(publish(kind, bundle), cache)
    assert is_empty(cache)


@pytest.mark.parametrize("kind", ["folder", "tar", "web", "s3"])
def test_what_has_no_manifest_is_no_bundle(
    kind: str, publish: Callable[..., str], bundle: Path, cache: ModelCache
) -> None:
    (bundle / MANIFEST_FILE).unlink()
    with pytest.raises(BundleError, match=r"has no manifest.json|begins with 'crowd_dense'.*expected manifest.json"):
        pull_bundle(publish(kind, bundle), cache)
    assert is_empty(cache)


@pytest.mark.parametrize("name", ["link", "folder", "pipe"])
def test_a_folder_with_a_link_or_a_pipe_is_refused(name: str, bundle: Path, cache: ModelCache, tmp_path: Path) -> None:
    if name == "pipe":
        os.mkfifo(bundle / "vgg16" / name)
    elif name == "link":
        model = bundle / "csrnet_a" / "1" / "model.onnx"
        shutil.move(model, tmp_path / "elsewhere")
        model.symlink_to(tmp_path / "elsewhere")  # with the right bytes at its end
    else:
        (bundle / "vgg16" / name).symlink_to(tmp_path)
    with pytest.raises(
        BundleError, match=rf"{name if name != 'link' else 'model.onnx'} is neither a file nor a folder"
    ):
        pull_bundle(str(bundle), cache)
    assert is_empty(cache)


def test_every_profile_but_tensorrt_can_be_served(small_repository: Path, cache: ModelCache, tmp_path: Path) -> None:
    rendered = {}
    profiles: tuple[Profile, ...] = ("gpu", "cpu", "embedded")
    for profile in profiles:
        build_bundle(small_repository, tmp_path / profile, profile)
        source = pull_bundle(str(tmp_path / profile), cache).folder
        target = tmp_path / "rendered" / profile
        render_repository(source, target, "embedded")
        paths = [path for path in target.rglob("*") if path.is_file()]
        rendered[profile] = {path.relative_to(target): path.read_bytes() for path in paths}
    assert rendered["gpu"] == rendered["cpu"] == rendered["embedded"]
    assert len(cache.bundles()) == 3
    build_bundle(small_repository, tmp_path / "tensorrt", "tensorrt")
    with pytest.raises(BundleError, match=r"tensorrt profile.*pull one of the gpu, cpu or embedded profile"):
        pull_bundle(str(tmp_path / "tensorrt"), cache, watch=never)


def test_a_bundle_for_another_crowdserve_is_refused(bundle: Path, manifest: Manifest, cache: ModelCache) -> None:
    older = {name: versions for name, versions in manifest.models.items() if name != "vgg16"}
    (bundle / MANIFEST_FILE).write_bytes(Manifest("0.0.1", "gpu", older, manifest.files).to_bytes())
    with pytest.raises(BundleError, match=r"lacks vgg16: it was built by crowdserve 0\.0\.1"):
        pull_bundle(str(bundle), cache, watch=never)


def test_a_bundle_that_has_no_room_is_refused_before_it_is_fetched(
    bundle: Path, manifest: Manifest, cache: ModelCache
) -> None:
    files = {**manifest.files, "vgg16/1/huge.bin": FileEntry("0" * 64, 10**15)}
    (bundle / MANIFEST_FILE).write_bytes(Manifest("1", "gpu", manifest.models, files).to_bytes())
    with pytest.raises(BundleError, match=r"models has .* MB free, the bundle needs 1000000000\.. MB; make room"):
        pull_bundle(str(bundle), cache, watch=never)
    assert is_empty(cache)


def test_the_digest_can_be_demanded(built: Path, manifest: Manifest, cache: ModelCache) -> None:
    with pytest.raises(BundleError, match=rf"has the digest {manifest.digest}, expected sha256:0"):
        pull_bundle(str(built), cache, digest=f"sha256:{'0' * 64}", watch=never)
    assert is_empty(cache)
    bundle = pull_bundle(str(built), cache, digest=manifest.digest)
    assert pull_bundle("/nowhere", cache, digest=manifest.digest) == bundle  # it is here: nobody is asked


def test_an_image_by_its_digest_and_on_a_base(
    stand_in: Any, built: Path, manifest: Manifest, cache: ModelCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    base = push_image(built, manifest, parse_reference(f"{stand_in.address}/base:1"), base="scratch")
    reference = parse_reference(f"{stand_in.address}/m:1")
    address = push_image(built, manifest, reference, base=base)
    assert "@sha256:" in address
    assert pull_bundle(address, cache).digest == manifest.digest
    with pytest.raises(BundleError, match=r"404 MANIFEST_UNKNOWN"):
        pull_bundle(f"oci://{stand_in.address}/m:2", cache)
    stand_in.damages = True
    with pytest.raises(BundleError, match=r"sent something with sha256:.*, expected sha256:"):
        pull_bundle(address, cache)


def test_what_is_no_address_is_told(cache: ModelCache) -> None:
    for address, reason in {"gs://x/y": "cannot be pulled from", "/nowhere": "neither a folder nor a file"}.items():
        with pytest.raises(BundleError, match=rf"{address} .*{reason}|{reason}.*expected https://"):
            pull_bundle(address, cache)
    with pytest.raises(BundleError, match="--plain-http is for http:// and oci://"):
        pull_bundle("s3://bucket/prefix", cache, plain_http=True)


def test_two_pulls_at_once_do_not_disturb_each_other(built: Path, manifest: Manifest, cache: ModelCache) -> None:
    meeting = threading.Barrier(2, timeout=30)

    def watch(_: Manifest) -> AbstractContextManager[Progress]:
        meeting.wait()  # both have found that the bundle is not here
        return nullcontext(lambda _: None)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: pull_bundle(str(built), cache, watch=watch), range(2)))
    assert [bundle.digest for bundle in both] == [manifest.digest] * 2
    assert len(cache.bundles()) == 1
    assert sorted(path.name for path in cache.folder.iterdir()) == sorted(names(both[0]))
    manifest.check(both[0].folder)


def test_a_killed_pull_is_not_taken_for_a_bundle(
    archive: Path, manifest: Manifest, cache: ModelCache, serve_folder: Callable[[Path], Any]
) -> None:
    server = serve_folder(archive.parent)
    server.cut_after_bytes, server.stalled = archive.stat().st_size // 2, threading.Event()
    command = [sys.executable, "-m", "crowdserve", "models", "pull", f"{server.url}/bundle.tar"]
    with subprocess.Popen(command, env={**os.environ, "CROWDSERVE_MODELS": str(cache.folder)}) as process:
        until = time.monotonic() + 60
        while not list(cache.folder.glob(".pull-*/bundle/csrnet_a/1")):
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    server.stalled.set()
    (left,) = cache.folder.iterdir()
    assert cache.bundles() == []
    assert cache.current() is None
    pull_bundle(str(archive), cache)
    assert left.exists()  # its pull might still run
    day_ago = time.time() - 25 * 3600
    os.utime(left, (day_ago, day_ago))
    cache.remove(manifest.digest)
    pull_bundle(str(archive), cache)
    assert not left.exists()
