"""The binary tensor extension against a plain reading of its rules, and against Triton's own client."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import serialize_byte_tensor

from crowdserve.protocol.binary import join_bytes, read_values, split_bytes


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_elements_survive_joining_and_splitting(elements: list[bytes]) -> None:
    assert split_bytes(join_bytes(elements)) == elements


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6))
def test_joined_elements_are_what_tritonclient_writes(elements: list[bytes]) -> None:
    assert join_bytes(elements) == serialize_byte_tensor(np.array(elements, dtype=object)).item()


@pytest.mark.parametrize("raw", [b"\x01", b"\x01\0\0", b"\x05\0\0\0abc", b"\xff\xff\xff\xffabc"])
def test_a_length_past_the_end_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="ends early"):
        split_bytes(raw)


def test_numbers_are_little_endian() -> None:
    assert read_values("FP32", struct.pack("<2f", 1.5, -2.0)).tolist() == [1.5, -2.0]
    assert read_values("INT64", struct.pack("<q", -(1 << 40))).tolist() == [-(1 << 40)]
    assert read_values("UINT8", b"\x00\xff").tolist() == [0, 255]


def test_other_datatypes_and_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"datatype 'FP16'; expected one of FP32, INT64, UINT8"):
        read_values("FP16", b"")
    with pytest.raises(ValueError, match="multiple of element size"):
        read_values("FP32", b"abc")
