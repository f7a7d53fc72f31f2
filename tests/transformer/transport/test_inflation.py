import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.errors import ImageTooLarge, InvalidRequest, UnsupportedEncoding
from crowdserve_transformer.transport.inflation import FREE_BYTES, MAX_RATIO, PIECE_BYTES, inflater_of

MIB = 2**20


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflate),
}


def inflated(coding: str, packed: bytes, step: int = 2**16) -> list[bytes]:
    inflater = inflater_of([coding])
    assert inflater is not None
    pieces = [piece for at in range(0, len(packed), step) for piece in inflater.pieces(packed[at : at + step])]
    inflater.finish()
    return pieces


@pytest.mark.parametrize("format_name", PACKERS)
@given(content=st.binary(max_size=500), step=st.integers(1, 40))
def test_whatever_the_pieces_that_it_comes_in(format_name: str, content: bytes, step: int) -> None:
    coding, pack = PACKERS[format_name]
    assert b"".join(inflated(coding, pack(content), step)) == content


@pytest.mark.parametrize("format_name", PACKERS)
def test_no_step_makes_more_than_a_piece(format_name: str) -> None:
    coding, pack = PACKERS[format_name]
    pieces = inflated(coding, pack(bytes(7 * MIB + 1)))
    assert max(map(len, pieces)) == PIECE_BYTES
    assert sum(map(len, pieces)) == 7 * MIB + 1


@pytest.mark.parametrize("format_name", PACKERS)
@given(content=st.binary(min_size=1, max_size=500), data=st.data())
def test_what_is_cut_off_is_refused(format_name: str, content: bytes, data: st.DataObject) -> None:
    coding, pack = PACKERS[format_name]
    packed = pack(content)
    length = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(InvalidRequest):
        inflated(coding, packed[:length])


@pytest.mark.parametrize("format_name", PACKERS)
@pytest.mark.parametrize("together", [True, False])
def test_what_follows_is_refused(format_name: str, together: bool) -> None:
    coding, pack = PACKERS[format_name]
    packed = pack(b"content")
    with pytest.raises(InvalidRequest, match="bytes or more follow the end"):
        inflated(coding, packed + b"\0\0", step=100 if together else len(packed))


def test_ratio_is_limited_beyond_what_a_test_sends() -> None:
    assert sum(map(len, inflated("gzip", gzip.compress(bytes(FREE_BYTES))))) == FREE_BYTES
    bomb, made = gzip.compress(bytes(64 * MIB)), 0
    inflater = inflater_of(["gzip"])
    assert inflater is not None
    with pytest.raises(ImageTooLarge, match=f"over {MAX_RATIO} times its size"):  # noqa: PT012
        for at in range(0, len(bomb), 1000):
            for piece in inflater.pieces(bomb[at : at + 1000]):
                made += len(piece)
    assert made <= FREE_BYTES


def test_files_in_a_row_are_limited() -> None:
    assert inflated("gzip", gzip.compress(b"") * 1000) == []
    with pytest.raises(InvalidRequest, match="follow the end"):
        inflated("gzip", gzip.compress(b"") * 1001)


@pytest.mark.parametrize(
    ("named", "has_coding"),
    [([], False), ([""], False), (["identity"], False), (["Identity", " identity "], False), (["x-GZIP"], True)],
)
def test_names_of_codings(named: list[str], has_coding: bool) -> None:
    assert (inflater_of(named) is not None) is has_coding


@pytest.mark.parametrize("named", [["br"], ["zstd"], ["compress"], ["gzip", "gzip"], ["gzip, deflate"], ["chunked"]])
def test_other_codings_are_refused(named: list[str]) -> None:
    with pytest.raises(UnsupportedEncoding, match="one of gzip, deflate"):
        inflater_of(named)
