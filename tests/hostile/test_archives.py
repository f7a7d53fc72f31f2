"""Archives that somebody made to do harm: refused at the first difference, in bounded disk, memory and time."""

import bz2
import gzip
import io
import lzma
import resource
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdserve.bundle.manifest import FileEntry, Manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE, SIGNATURE_FILE
from crowdserve.bundle.tar_reader import MAX_MEMBERS, read_tar
from crowdserve.bundle.unpacking import opened_bundle
from crowdserve.errors import BundleError
from tests.support.commands import run_bundle

MIB = 1 << 20
LISTED = "a/model.onnx"
END = bytes(1024)


def header(
    name: str = LISTED,
    size: int | bytes = 0,
    kind: bytes = b"0",
    *,
    magic: bytes = b"ustar\x0000",
    link: str = "",
    rest: bytes = b"",
) -> bytes:
    """A header as nobody's library would write it, with a right checksum."""
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    start = name.encode()[:100].ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + field + b"00000000000\0"
    block = (start + b" " * 8 + kind + link.encode().ljust(100, b"\0") + magic).ljust(345, b"\0") + rest
    block = block.ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def member(name: str, content: bytes, kind: bytes = b"0") -> bytes:
    """A header and its content."""
    return header(name, len(content), kind) + content + bytes(-len(content) % 512)


def pax(**records: str) -> bytes:
    """An extended header."""
    return member("pax", b"".join(_record(key.replace("__", "."), value) for key, value in records.items()), b"x")


def _record(key: str, value: str) -> bytes:
    body = f" {key}={value}\n".encode()
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


MANIFEST = Manifest("1", "gpu", {"a": (1,)}, {LISTED: FileEntry("0" * 64, 1000)})
FIRST = member(MANIFEST_FILE, MANIFEST.to_bytes())
NEGATIVE = b"\xff" * 12
HUGE = b"\x80" + b"\x7f" * 11

HARMS: dict[str, tuple[bytes, str]] = {
    "negative size": (header(size=NEGATIVE), "negative number"),
    "negative size of a folder": (header("a", NEGATIVE, b"5"), "negative number"),
    "negative octal size": (header(size=b"-0000000001\0"), "negative number"),
    "negative size of an extended header": (header("x", NEGATIVE, b"x") + header(), "negative number"),
    "minus one block": (header(size=b"\xff" * 10 + b"\xfe\x00"), "negative number"),
    "negative size by pax": (pax(size="-1024") + header(), "no size but something else"),
    "huge size": (header(size=HUGE), "absurd number"),
    "huge size by pax": (pax(size="9" * 30) + header(), "no size but something else"),
    "size by pax of a folder": (pax(size="100") + header("a", 0, b"5"), "has a content"),
    "larger by pax": (pax(size="2000") + header(size=3) + bytes(2048), "larger than the 1,000 bytes"),
    "larger": (member(LISTED, bytes(1001)), "larger than the 1,000 bytes"),
    "truncated": (header(size=1000) + b"x" * 10, "ends within"),
    "truncated header": (header()[:300], "ends within a header"),
    "no end": (b"", "ends within a header"),
    "sparse, old GNU": (
        header(size=512, kind=b"S", magic=b"ustar  \0", rest=bytes(41) + b"00000000000\0" * 2 + bytes(73) + HUGE),
        "neither a file nor a folder",
    ),
    "sparse, pax 0.0": (
        pax(GNU__sparse__size=str(300 * MIB), GNU__sparse__numblocks="1") + member(LISTED, b"x"),
        "sparse file",
    ),
    "sparse, pax 0.1": (
        pax(GNU__sparse__size=str(300 * MIB), GNU__sparse__map="0,1") + member(LISTED, b"x"),
        "sparse file",
    ),
    "sparse, pax 1.0": (
        pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__realsize=str(300 * MIB))
        + member(LISTED, b"x"),
        "sparse file",
    ),
    "sparse in a global header": (
        member("pax", _record("GNU.sparse.size", "9"), b"g") + member(LISTED, b"x"),
        "sparse file",
    ),
    "path in a global header": (member("pax", _record("path", LISTED), b"g") + member("b", b"x"), "of every member"),
    "broken record": (member("pax", b"99 path=a\n", b"x") + header(), "extended header is damaged"),
    "record of no length": (member("pax", b"0 path=a\n", b"x") + header(), "extended header is damaged"),
    "record of negative length": (member("pax", b"-9 path=a\n", b"x") + header(), "extended header is damaged"),
    "endless record": (member("pax", b"9" * 4000 + b" path=a\n", b"x") + header(), "extended header is damaged"),
    "enormous extended header": (header("x", 200 * MIB, b"x"), "extended header is too long"),
    "enormous name": (header("x", 200 * MIB, b"L"), "extended header is too long"),
    "chain of extended headers": (pax(path="a") * 100 + header(), "extended header is too long"),
    "extended header at the end": (pax(path="a") + END, "ends after an extended header"),
    "symbolic link": (header(kind=b"2", link="/etc/passwd"), "neither a file nor a folder"),
    "hard link": (header(kind=b"1", link=MANIFEST_FILE), "neither a file nor a folder"),
    "character device": (header(kind=b"3"), "neither a file nor a folder"),
    "block device": (header(kind=b"4"), "neither a file nor a folder"),
    "pipe": (header(kind=b"6"), "neither a file nor a folder"),
    "contiguous": (header(kind=b"7"), "neither a file nor a folder"),
    "several volumes": (header(kind=b"M"), "neither a file nor a folder"),
    "unknown kind": (header(kind=b"Z"), "neither a file nor a folder"),
    "extra": (member("a/other", b"x"), "'a/other', which its manifest.json does not name"),
    "hidden": (member(".hidden/1/model.py", b"x"), "does not name"),
    "hidden folder": (header(".hidden/", 0, b"5"), "the folder '.hidden', which its manifest.json does not name"),
    "folder as an old tar has it": (header(".hidden/", 0, b"0"), "the folder '.hidden'"),
    "folder for a file": (header(LISTED, 0, b"5"), "the folder"),
    "file for a folder": (member("a", b"x"), "'a', which its manifest.json does not name"),
    "above": (member("../out", b"x"), "does not name"),
    "absolute": (member("/tmp/out", b"x"), "does not name"),
    "absolute by pax": (pax(path="/tmp/out") + member(LISTED, b"x"), "does not name"),
    "above by a long name": (member("L", b"../out\0", b"L") + member(LISTED, b"x"), "does not name"),
    "another case": (member("A/Model.onnx", b"x"), "does not name"),
    "a name that is no text": (member("pax", b"10 path=\xff\n", b"x") + header(), "codec can't decode"),
    "backslashes": (member("..\\out", b"x"), "does not name"),
    "twice": (member(LISTED, b"x") * 2, "twice"),
    "two manifests": (FIRST, "'manifest.json', which its manifest.json does not name"),
    "large signature": (member(SIGNATURE_FILE, bytes(5000)), "larger than the 4,096 bytes"),
    "damaged checksum": (header()[:-1] + b"x", "header is damaged"),
    "content after the end": (END + bytes(3 * MIB), "larger than the"),
}


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def refuse(path: Path, message: str, scratch: Path) -> None:
    """Check that a bundle is refused soon, in little memory, and that nothing is left of it."""
    tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(BundleError, match=message), opened_bundle(path) as (folder, manifest):
            manifest.check(folder)
        assert time.monotonic() - started < 20
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("harm", HARMS)
def test_a_hostile_archive_is_refused_at_the_first_difference(harm: str, tmp_path: Path, scratch: Path) -> None:
    content, message = HARMS[harm]
    (tmp_path / "evil.tar").write_bytes(FIRST + content + (b"" if "truncated" in harm or harm == "no end" else END))
    refuse(tmp_path / "evil.tar", message, scratch)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "harm", ["negative size", "negative size of an extended header", "sparse, pax 1.0", "hard link"]
)
def test_a_hostile_member_before_the_manifest_is_refused_too(harm: str, tmp_path: Path, scratch: Path) -> None:
    content, message = HARMS[harm]
    (tmp_path / "evil.tar").write_bytes(content + FIRST + END)
    refuse(tmp_path / "evil.tar", message, scratch)


def test_many_members_before_the_manifest_are_refused(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "evil.tar").write_bytes(header("a/", 0, b"5") * (MAX_MEMBERS + 1) + FIRST + END)
    refuse(tmp_path / "evil.tar", "more than 5,000 members", scratch)


def test_many_members_after_the_manifest_are_more_than_it_says(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "evil.tar").write_bytes(FIRST + header("a/", 0, b"5") * 4000 + END)
    refuse(tmp_path / "evil.tar", "larger than the", scratch)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_bomb_is_not_unpacked(pack: Callable[[bytes], bytes], tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "evil.tar").write_bytes(pack(FIRST + header(size=16 * MIB) + bytes(16 * MIB)))
    refuse(tmp_path / "evil.tar", r"it is compressed \((gzip|bzip2|xz)\), unpack that first", scratch)


@pytest.mark.parametrize("harm", ["larger", "larger by pax", "sparse, pax 1.0", "sparse, old GNU"])
def test_no_more_disk_is_taken_than_the_manifest_lists(harm: str, tmp_path: Path, scratch: Path) -> None:
    content, message = HARMS[harm]
    (tmp_path / "evil.tar").write_bytes(FIRST + content + END)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # the system refuses a byte more, with another message
    try:
        refuse(tmp_path / "evil.tar", message, scratch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_command_ends(tmp_path: Path) -> None:
    (tmp_path / "evil.tar").write_bytes(HARMS["negative size"][0] + FIRST + bytes(10_240))
    result = run_bundle("verify", tmp_path / "evil.tar")
    assert (result.returncode, result.stdout) == (2, "")
    assert "cannot be unpacked (a header has a negative number, or none)" in result.stderr


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_other_programs_pack_is_read(form: int) -> None:
    long = f"{'folder/' * 12}{'n' * 90}"
    given = {"./a/model.onnx": b"x" * 1000, "b": b"", long: b"y"}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in given.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname = len(content), 1.5 if form == tarfile.PAX_FORMAT else 1, "ünïcode"
            archive.addfile(info, io.BytesIO(content))
    found = [(each.path, each.is_folder, b"".join(each.chunks)) for each in read_tar(io.BytesIO(stream.getvalue()))]
    files = [(name.removeprefix("./"), False, content) for name, content in given.items()]
    assert found == [("a", True, b""), *files]


def test_a_size_beyond_octal_digits_is_read() -> None:
    large = next(read_tar(io.BytesIO(header(size=b"\x80" + (1 << 34).to_bytes(11, "big")))))
    with pytest.raises(ValueError, match=r"ends within 'a/model\.onnx'"):
        list(large.chunks)


@settings(max_examples=100)
@given(st.data())
def test_no_bytes_stop_the_reader(data: st.DataObject) -> None:
    content = bytearray(FIRST + pax(path="a/b", size="3") + member(LISTED, b"xyz") + END)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for start in range(0, len(content) - 511, 512):  # the checksums are right, so that more is read
        if content[start + 257 : start + 262] == b"ustar" and data.draw(st.booleans()):
            block = content[start : start + 148] + b" " * 8 + content[start + 156 : start + 512]
            content[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    try:
        for each in read_tar(io.BytesIO(content)):
            assert len(b"".join(each.chunks)) <= len(content)
    except ValueError:
        pass
