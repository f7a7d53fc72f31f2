"""Array files that somebody made to do harm are refused before they take memory."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdserve.scene.array_file import MAX_FILE_BYTES, read_arrays, write_arrays

MAGIC = b"\x93NUMPY\x01\x00"
WHOLE = write_arrays({"a": np.arange(6.0).reshape(2, 3)})


def packed(content: bytes, name: str = "a.npy", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr(name, content)
    return buffer.getvalue()


def array(header: str, content: bytes = b"", version: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return packed((version or MAGIC) + len(text).to_bytes(2, "little") + text + content)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "<f2", "|u1", "<U6"])
def test_an_array_comes_back(order: str, dtype: str) -> None:
    given_array = np.arange(6).reshape(2, 3).astype(dtype, order=order)
    buffer = io.BytesIO()
    np.savez(buffer, a=given_array)
    found = read_arrays(buffer.getvalue(), {"a": 2})["a"]
    np.testing.assert_array_equal(found, given_array)
    assert found.dtype == given_array.dtype


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "BadZipFile"),
        (b"\x80\x04N.", "BadZipFile"),
        (packed(b"x", "b.npy"), "expected \\['a.npy'\\]"),
        (packed(b"x", "../a.npy"), "expected"),
        (packed(b""), "nothing is unpickled"),
        (packed(b"\x80\x04N."), "nothing is unpickled"),
        (packed(b"x", method=zipfile.ZIP_BZIP2), "otherwise than with deflate"),
        (array("{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }", b"cos"), "nothing is unpickled"),
        (array("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1, 1), }"), "nothing is unpickled"),
        (
            array("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }", bytes(8), b"\x93NUMPY\x03\x00"),
            "nothing",
        ),
        (array("(" * 4000), "nothing is unpickled"),
        (array("__import__('os')"), "nothing is unpickled"),
        (array("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }", bytes(16)), "nothing is unpickled"),
        (array("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999, 99999), }"), "has shape"),
        (array("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 2), }"), "has shape"),
        (array("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", bytes(16)), "has shape"),
        (array("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }", bytes(17)), "has shape"),
        (array("{'descr': '<U99', 'fortran_order': False, 'shape': (1, 1), }", bytes(396)), "labels of 396 bytes"),
        (array("{'descr': '<f7', 'fortran_order': False, 'shape': (1, 1), }", bytes(7)), "data type"),
        (array("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }", b"\xff" * 8), "not finite"),
    ],
)
def test_a_file_that_holds_anything_else_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_arrays(content, {"a": 2})


def test_a_bomb_takes_no_memory() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file, file.open("a.npy", "w", force_zip64=True) as entry:
        for _ in range(MAX_FILE_BYTES // (1 << 22) + 1):
            entry.write(bytes(1 << 22))
    assert len(buffer.getvalue()) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more than 268,435,456 bytes"):
            read_arrays(buffer.getvalue(), {"a": 2})
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_many_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="65 arrays, expected at most 64"):
        read_arrays(write_arrays({str(n): np.zeros(1) for n in range(65)}), {"a": 1})


@settings(max_examples=100)
@given(place=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255), cut=st.integers(0, 40))
def test_a_spoilt_file_is_whole_or_refused(place: int, value: int, cut: int) -> None:
    content = bytearray(WHOLE)
    content[place] = value
    del content[len(content) - cut :]
    try:
        found = read_arrays(bytes(content), {"a": 2})
    except ValueError:
        return
    assert found["a"].size <= 6
