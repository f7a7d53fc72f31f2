from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.live.errors import SourceLost
from crowdserve.live.sources.mjpeg import MAX_FILE_BYTES, jpeg_files, jpeg_parts

KIND = "multipart/x-mixed-replace; boundary=frame"
files = st.lists(
    st.binary(min_size=1, max_size=50).map(lambda content: content + b"\r\n--frame" * (len(content) % 2)),
    min_size=1,
    max_size=5,
)


def stream(pictures: list[bytes], *, with_lengths: bool, newline: bytes = b"\r\n") -> bytes:
    parts = []
    for picture in pictures:
        length = b"Content-length: %d" % len(picture) + newline if with_lengths else b""
        parts.append(
            b"--frame" + newline + b"Content-Type: image/jpeg" + newline + length + newline + picture + newline
        )
    return b"".join(parts) + b"--frame--" + newline + newline


def in_pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@given(pictures=files, size=st.integers(1, 300))
def test_parts_with_lengths(pictures: list[bytes], size: int, newline: bytes) -> None:
    body = stream(pictures, with_lengths=True, newline=newline)
    assert list(jpeg_parts(in_pieces(body, size), KIND))[: len(pictures)] == pictures


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), st.integers(1, 300))
def test_parts_without_lengths(contents: list[bytes], size: int) -> None:
    pictures = [b"\xff\xd8" + content.replace(b"--frame", b"") + b"\xff\xd9" for content in contents]
    body = stream(pictures, with_lengths=False)
    assert list(jpeg_parts(in_pieces(body, size), KIND))[: len(pictures)] == pictures


@pytest.mark.parametrize("boundary", ['"frame"', "--frame", "frame; charset=x"])
def test_boundaries_as_cameras_write_them(boundary: str) -> None:
    body = stream([b"one"], with_lengths=True)
    assert next(jpeg_parts([body], f"multipart/x-mixed-replace;boundary={boundary}")) == b"one"


JPEGS = [b"\xff\xd8\xff\xe0 %d \xff\xd9 of a small one \xff\xd9" % number for number in range(4)]


def parts(
    *contents: bytes, boundary: bytes = b"--frame", length: int | None = None, kind: bytes = b"image/jpeg"
) -> bytes:
    """Parts whose lengths are wrong by so many bytes; without lengths if that is None."""
    told = [b"" if length is None else b"Content-Length: %d\r\n" % max(0, len(each) + length) for each in contents]
    heads = [boundary + b"\r\nContent-Type: " + kind + b"\r\n" + each + b"\r\n" for each in told]
    return b"".join(head + each + b"\r\n" for head, each in zip(heads, contents, strict=True))


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("length", [-20, -5, 2, 9, 30, -1000])
def test_jpegs_with_a_wrong_length(length: int, size: int) -> None:
    body = parts(*JPEGS, length=length) + b"--frame--\r\n"
    assert list(jpeg_parts(in_pieces(body, size), KIND)) == JPEGS


def test_a_length_that_is_right_does_not_wait_for_the_next_picture() -> None:
    def coming() -> Iterator[bytes]:
        yield parts(JPEGS[0], length=0)
        pytest.fail("the picture was there already")

    assert next(jpeg_parts(coming(), KIND)) == JPEGS[0]


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b"frame", "frame"),
        (b"----frame", "frame"),
        (b"--frame", "--frame"),
        (b"--frame", "'frame'"),
        (b"--other", "frame"),
        (b"--frame", ""),
    ],
)
def test_boundaries_that_are_not_as_they_are_told(written: bytes, told: str, size: int) -> None:
    kind = f"multipart/x-mixed-replace; boundary={told}" if told else "multipart/x-mixed-replace"
    body = parts(*JPEGS, boundary=written) + written + b"\r\n"
    assert list(jpeg_parts(in_pieces(body, size), kind)) == JPEGS


def test_events_and_sound_between_the_pictures_are_none() -> None:
    event, sound = parts(b'{"motion": 1}', length=0, kind=b"application/json"), parts(bytes(160), kind=b"audio/basic")
    body = b"preamble\r\n" + b"".join(event + sound + parts(each, length=0) for each in JPEGS)
    assert list(jpeg_parts([body], KIND)) == JPEGS
    unnamed = parts(JPEGS[0], length=0, kind=b"application/octet-stream")
    assert list(jpeg_parts([unnamed], KIND)) == [JPEGS[0]]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("between", [b"", b"\r\n", bytes(3)])
def test_files_one_behind_the_other(between: bytes, size: int) -> None:
    assert list(jpeg_files(in_pieces(between.join(JPEGS), size))) == JPEGS


def test_a_stream_of_nothing_else_takes_no_more_memory_than_a_picture() -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        yield b"--frame\r\n\r\n"
        while True:
            taken += 2**20
            yield bytes(2**20)

    with pytest.raises(SourceLost, match="has over 33,554,432 bytes"):
        list(jpeg_parts(endless(), KIND))  # type: ignore[arg-type]
    assert taken <= MAX_FILE_BYTES + 2 * 2**20


@pytest.mark.parametrize(
    ("pieces", "kind", "message"),
    [
        ([b""], "multipart/x-mixed-replace", "names no boundary"),
        ([b"--frame\r\n" + b"X-Header: 1\r\n" * 2000], KIND, "no end of its headers"),
    ],
)
def test_streams_that_are_none(pieces: list[bytes], kind: str, message: str) -> None:
    with pytest.raises(SourceLost, match=message):
        list(jpeg_parts(pieces, kind))
