"""Archives that somebody made to do harm, or that a line or a disk spoilt: refused, and nothing is left of them."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crowdserve.bundle.archive import MAX_MANIFEST_BYTES, LimitedStream, tar_limit_bytes
from crowdserve.bundle.cache import ModelCache
from crowdserve.bundle.manifest import FileEntry, Manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from crowdserve.bundle.pull import pull_bundle
from crowdserve.errors import BundleError

Members = list[tuple[tarfile.TarInfo, bytes]]
MODEL = "csrnet_a/1/model.onnx"


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Members:
    """One member of an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return [(info, content)]


def insert(*more: Members) -> Callable[[Members], Members]:
    """Puts members before the last one."""
    return lambda members: [*members[:-1], *(each for new in more for each in new), members[-1]]


def replace(name: str, *new: Members) -> Callable[[Members], Members]:
    """Puts others in the place of a member."""
    return lambda members: [
        each
        for info, content in members
        for each in ((each for one in new for each in one) if info.name == name else [(info, content)])
    ]


def again(name: str) -> Callable[[Members], Members]:
    """Packs a member twice."""
    return lambda members: [*members, *(each for each in members if each[0].name == name)]


def oversized(members: Members) -> Members:
    """The manifest says of one file that it is a byte shorter."""
    info, content = members[0]
    size = next(len(model) for found, model in members if found.name == MODEL)
    lying = content.replace(f'"size_bytes": {size}'.encode(), f'"size_bytes": {size - 1}'.encode())
    assert len(lying) == len(content) != 0
    assert lying != content
    return [(info, lying), *members[1:]]


HARMS: dict[str, tuple[Callable[[Members], Members], str]] = {
    "symlink": (insert(member("vgg16/x", kind=tarfile.SYMTYPE, link="/etc/passwd")), "'vgg16/x' is neither a file"),
    "link for a model": (
        replace(MODEL, member(MODEL, kind=tarfile.SYMTYPE, link="/etc/passwd")),
        "model.onnx' is neither a file",
    ),
    "link for a folder": (replace("csrnet_a", member("csrnet_a", kind=tarfile.SYMTYPE, link="/tmp")), "neither a file"),
    "hard link": (replace(MODEL, member(MODEL, kind=tarfile.LNKTYPE, link="manifest.json")), "neither a file"),
    "character device": (insert(member("vgg16/x", kind=tarfile.CHRTYPE)), "neither a file"),
    "block device": (insert(member("vgg16/x", kind=tarfile.BLKTYPE)), "neither a file"),
    "pipe": (insert(member("vgg16/x", kind=tarfile.FIFOTYPE)), "neither a file"),
    "contiguous": (insert(member("vgg16/x", kind=tarfile.CONTTYPE)), "neither a file"),
    "above": (insert(member("../out", b"x")), "'../out', which its manifest.json does not name"),
    "above, later": (insert(member("vgg16/../../out", b"x")), "does not name"),
    "absolute": (insert(member("/tmp/out", b"x")), "'/tmp/out'"),
    "extra": (insert(member("vgg16/out", b"x")), "'vgg16/out', which its manifest.json does not name"),
    "hidden": (insert(member("vgg16/.out", b"x")), "does not name"),
    "twice": (again(MODEL), "'csrnet_a/1/model.onnx', twice"),
    "two manifests": (again(MANIFEST_FILE), "'manifest.json', which its manifest.json does not name"),
    "missing": (replace(MODEL), "model.onnx is missing"),
    "a file for a folder": (replace("csrnet_a", member("csrnet_a", b"x")), "'csrnet_a'"),
    "larger": (oversized, "model.onnx of .* is larger than the .* bytes of its manifest.json"),
    "large manifest": (
        replace(MANIFEST_FILE, member(MANIFEST_FILE, b" " * (MAX_MANIFEST_BYTES + 1))),
        "larger than the 1,048,576 bytes",
    ),
    "deep manifest": (replace(MANIFEST_FILE, member(MANIFEST_FILE, b"[" * 100_000)), "cannot be read"),
    "no manifest": (replace(MANIFEST_FILE, member("vgg16", kind=tarfile.DIRTYPE)), "has no manifest|begins with"),
}


def members_of(archive: Path) -> Members:
    with tarfile.open(archive) as packed:
        return [(info, (packed.extractfile(info) or io.BytesIO()).read() if info.isfile() else b"") for info in packed]


def pack(members: Members, target: Path) -> Path:
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as packed:
        for info, content in members:
            packed.addfile(info, io.BytesIO(content))
    return target


@pytest.fixture(params=["disk", "web"])
def refused(
    request: pytest.FixtureRequest, cache: ModelCache, tmp_path: Path, serve_folder: Callable[[Path], Any]
) -> Callable[..., None]:
    """Checks that an archive is refused from disk or over HTTP: `refused(path, message)`."""

    def check(path: Path, message: str) -> None:
        before = {each for each in tmp_path.rglob("*") if cache.folder not in each.parents} | {cache.folder}
        address = str(path) if request.param == "disk" else f"{serve_folder(path.parent).url}/{path.name}"
        with pytest.raises(BundleError, match=message):
            pull_bundle(address, cache)
        assert set(tmp_path.rglob("*")) <= before  # neither in the cache nor beside it
        assert cache.bundles() == []

    return check


@pytest.mark.parametrize("harm", HARMS)
def test_a_hostile_archive_is_refused(harm: str, archive: Path, tmp_path: Path, refused: Callable[..., None]) -> None:
    change, message = HARMS[harm]
    refused(pack(change(members_of(archive)), tmp_path / "evil.tar"), message)


def test_an_archive_larger_than_its_manifest_says_is_refused(
    archive: Path, manifest: Manifest, tmp_path: Path, refused: Callable[..., None]
) -> None:
    content = archive.read_bytes()
    excess = tar_limit_bytes(manifest) - len(content) + 1
    assert excess > 0
    (tmp_path / "evil.tar").write_bytes(content + bytes(excess))
    refused(tmp_path / "evil.tar", r"evil.tar is larger than the [\d,]+ bytes that were expected")


def test_what_is_no_archive_is_refused(archive: Path, tmp_path: Path, refused: Callable[..., None]) -> None:
    for content in (b"", b"<html>Sign in</html>", gzip.compress(archive.read_bytes()), bytes(10_240)):
        (tmp_path / "bundle.tar").write_bytes(content)
        refused(tmp_path / "bundle.tar", "cannot be unpacked|has no manifest.json")


def test_a_manifest_that_comes_later_is_found_on_disk_and_refused_over_http(
    archive: Path, manifest: Manifest, tmp_path: Path, cache: ModelCache, serve_folder: Callable[[Path], Any]
) -> None:
    members = members_of(archive)
    path = pack([*members[1:], members[0]], tmp_path / "bundle.tar")
    with pytest.raises(BundleError, match=r"begins with 'crowd_dense', expected manifest.json.*bundle build"):
        pull_bundle(f"{serve_folder(tmp_path).url}/bundle.tar", cache)
    assert pull_bundle(str(path), cache).digest == manifest.digest


def test_names_with_a_leading_dot_are_those_of_tar(archive: Path, tmp_path: Path, cache: ModelCache) -> None:
    members = members_of(archive)
    for info, _ in members:
        info.name = f"./{info.name}"
    bundle = pull_bundle(str(pack(members, tmp_path / "bundle.tar")), cache)
    bundle.manifest.check(bundle.folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_spoilt_archive_is_whole_or_refused(
    data: st.DataObject, archive: Path, manifest: Manifest, tmp_path: Path
) -> None:
    content = bytearray(archive.read_bytes())
    headers = [i for i in range(0, len(content), 512) if content[i + 257 : i + 262] == b"ustar"]
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.sampled_from(headers)) if data.draw(st.booleans()) else 0
        place = data.draw(st.integers(start, min(start + 511, len(content) - 1) if start else len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    del content[data.draw(st.sampled_from([len(content)] * 3 + [len(content) // 2, len(content) - 1, 600])) :]
    (tmp_path / "bundle.tar").write_bytes(content)
    cache = ModelCache(tmp_path / "fuzzed")
    try:
        bundle = pull_bundle(str(tmp_path / "bundle.tar"), cache)
    except BundleError:
        assert not cache.folder.exists() or not list(cache.folder.iterdir())
    else:
        assert bundle.digest == manifest.digest
        manifest.check(bundle.folder)
        cache.remove(bundle.digest)
        (cache.folder / "current").unlink()


def test_a_stream_gives_everything_up_to_its_limit() -> None:
    chunks = [b"ab", b"", b"cde"]
    assert LimitedStream(iter(chunks), 5, "it").read() == b"abcde"
    with pytest.raises(BundleError, match="it is larger than the 4 bytes"):
        LimitedStream(iter(chunks), 4, "it").read()


def test_the_limit_of_an_archive_is_close_to_its_size(archive: Path, manifest: Manifest) -> None:
    assert archive.stat().st_size < tar_limit_bytes(manifest)
    large = Manifest("0", "gpu", {}, {"a/b": FileEntry("0", 10**9)})
    assert tar_limit_bytes(large) < 10**9 + (2 << 20)
