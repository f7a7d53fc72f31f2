"""Reading of `.tar` files that anybody may have made: ordinary files and folders, forwards, in bounded memory.

Each header is checked before anything follows from it, and what a bundle never has is refused: links, devices, sparse
files, negative or absurd sizes, long chains of extended headers. The formats are those that `tar` writes today: ustar,
pax and GNU, without compression. Python's `tarfile` reads more, and some of its releases do not end on a hostile file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

BLOCK_BYTES = 512
CHUNK_BYTES = 1 << 18
MAX_MEMBERS = 5_000
"""Far more than any bundle has: each costs a header, whatever it holds."""

_MAX_EXTENSION_BYTES = 64 << 10
_MAX_EXTENSIONS = 4  # in a row: a global one, a path, a size
_MAX_SIZE_BYTES = 1 << 50

_FILES, _FOLDER = (b"0", b"\0"), b"5"
_PAX, _PAX_GLOBAL, _LONG_NAME = b"x", b"g", b"L"
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,5}) ([^=]+)=")
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK": "zip"}


class ReadableStream(Protocol):
    """Something to read forwards."""

    def read(self, size: int = -1, /) -> bytes | None:
        """At most `size` bytes; none at the end."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file or a folder of an archive.

    Attributes:
        path: As the archive has it, without a leading ``./`` and a closing slash.
        is_folder: Whether it is a folder, which has no content.
        chunks: The content; what is not taken is passed over when the next member is asked for.
    """

    path: str
    is_folder: bool
    chunks: Iterator[bytes]


def read_tar(stream: ReadableStream) -> Iterator[Member]:
    """The members of an uncompressed archive, in its order; the stream stands behind its end mark afterwards.

    Raises:
        ValueError: If it is no such archive, ends early, or holds anything but files and folders.
    """
    changes: dict[str, str] = {}
    members = extensions = 0
    while block := _header(stream, is_first=not (members or extensions)):
        kind, size_bytes = block[156:157], _number(block[124:136])
        if kind in {_PAX, _PAX_GLOBAL, _LONG_NAME}:
            extensions += 1
            if extensions > _MAX_EXTENSIONS or size_bytes > _MAX_EXTENSION_BYTES:
                raise ValueError("an extended header is too long")
            content = b"".join(_content(stream, size_bytes, "an extended header"))
            found = {"path": _text(content)} if kind == _LONG_NAME else _pax_records(content)
            if kind != _PAX_GLOBAL:
                changes |= found
            elif found:
                raise ValueError(f"a global header changes {' and '.join(found)} of every member")
            continue
        members += 1
        if members > MAX_MEMBERS:
            raise ValueError(f"it has more than {MAX_MEMBERS:,} members")
        member, chunks = _member(stream, block, changes, size_bytes)
        yield member
        for _ in chunks:  # what the caller did not take
            pass
        changes, extensions = {}, 0
    if extensions:
        raise ValueError("it ends after an extended header")


def _member(
    stream: ReadableStream, block: bytes, changes: dict[str, str], size_bytes: int
) -> tuple[Member, Iterator[bytes]]:
    name, kind = changes.get("path") or _name(block), block[156:157]
    path = PurePosixPath(name).as_posix()
    is_folder = kind == _FOLDER or (kind in _FILES and name.endswith("/"))
    if not is_folder and kind not in _FILES:
        raise ValueError(f"{path!r} is neither a file nor a folder")
    if "size" in changes:
        size_bytes = _decimal(changes["size"])
    if is_folder and size_bytes:
        raise ValueError(f"the folder {path!r} has a content")
    chunks = _content(stream, size_bytes, repr(path))
    return Member(path, is_folder, chunks), chunks


def _header(stream: ReadableStream, *, is_first: bool) -> bytes | None:
    """The next header; None at the end mark.

    Raises:
        ValueError: If something else comes.
    """
    block = _at_most(stream, BLOCK_BYTES)
    kinds = [name for mark, name in _COMPRESSED.items() if is_first and block.startswith(mark)]
    if kinds:
        raise ValueError(f"it is compressed ({kinds[0]}), unpack that first")
    if len(block) < BLOCK_BYTES:
        raise ValueError("it ends within a header")
    if not block.strip(b"\0"):
        return None
    if sum(block[:148]) + sum(block[156:]) + 8 * ord(" ") != _number(block[148:156]):
        raise ValueError("a header is damaged")
    return block


def _at_most(stream: ReadableStream, size_bytes: int) -> bytes:
    """The next bytes; fewer at the end."""
    content = b""
    while len(content) < size_bytes and (part := stream.read(size_bytes - len(content))):
        content += part
    return content


def _content(stream: ReadableStream, size_bytes: int, name: str) -> Iterator[bytes]:
    left_bytes = size_bytes
    while left_bytes:
        chunk = stream.read(min(left_bytes, CHUNK_BYTES))
        if not chunk:
            raise ValueError(f"it ends within {name}")
        left_bytes -= len(chunk)
        yield chunk
    if size_bytes % BLOCK_BYTES:
        padding_bytes = BLOCK_BYTES - size_bytes % BLOCK_BYTES
        if len(_at_most(stream, padding_bytes)) < padding_bytes:
            raise ValueError(f"it ends within {name}")


def _number(field: bytes) -> int:
    """A number of a header: octal digits, or for large ones a big-endian number after a marked byte."""
    if field[:1] == b"\x80":
        value = int.from_bytes(field[1:], "big")
    else:
        digits = field.strip(b" \0") or b"0"
        if not re.fullmatch(b"[0-7]+", digits):
            raise ValueError("a header has a negative number, or none")
        value = int(digits, 8)
    if value > _MAX_SIZE_BYTES:
        raise ValueError("a header has an absurd number")
    return value


def _decimal(text: str) -> int:
    if not re.fullmatch("[0-9]{1,15}", text):
        raise ValueError("an extended header has no size but something else")
    return int(text)


def _name(block: bytes) -> str:
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode()


def _pax_records(content: bytes) -> dict[str, str]:
    """The path and the size out of an extended header; the rest tells owners and times."""
    found: dict[str, str] = {}
    start = 0
    while start < len(content.rstrip(b"\0")):
        record = _PAX_RECORD.match(content, start)
        end = start + int(record[1]) if record else 0
        if record is None or not record.end() < end <= len(content) or content[end - 1 : end] != b"\n":
            raise ValueError("an extended header is damaged")
        key = record[2].decode()
        if key.startswith("GNU.sparse"):
            raise ValueError("it holds a sparse file")
        if key in {"path", "size"}:
            found[key] = content[record.end() : end - 1].decode()
        start = end
    return found
