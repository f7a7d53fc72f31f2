"""The text format writer, read back by protobuf's own parser."""

from google.protobuf import struct_pb2, text_format
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.triton.pbtxt import Symbol, entries, format_message

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))


@given(st.dictionaries(texts, st.one_of(texts, st.booleans(), st.integers(-(2**50), 2**50))))
def test_strings_numbers_and_booleans_round_trip(values: dict[str, str | bool | int]) -> None:
    fields = {str: "string_value", bool: "bool_value", int: "number_value"}
    text = format_message({"fields": entries({key: {fields[type(v)]: v} for key, v in values.items()})})
    assert dict(text_format.Parse(text, struct_pb2.Struct())) == values


def test_symbols_and_numbers_are_bare() -> None:
    text = format_message({"kind": Symbol("KIND_GPU"), "dims": [-1, 3], "none": [], "nested": {"is_it": True}})
    assert text == "kind: KIND_GPU\ndims: [ -1, 3 ]\nnested {\n  is_it: true\n}\n"
