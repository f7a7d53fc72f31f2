import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdserve.errors import InvalidImage, InvalidRequest
from crowdserve_transformer.transport.json_data import decode_base64, files_of, pixels_of


@given(st.binary(max_size=300))
def test_base64_as_clients_write_it(data: bytes) -> None:
    standard = base64.b64encode(data).decode()
    url_safe = base64.urlsafe_b64encode(data).decode()
    for text in (standard, base64.encodebytes(data).decode(), url_safe, standard.rstrip("="), url_safe.rstrip("=")):
        assert decode_base64(text) == data
        assert decode_base64(f"data:image/png;base64,{text}") == data


def test_long_text_in_pieces_may_have_every_form() -> None:
    data = bytes(range(256)) * 40_000
    assert decode_base64(base64.encodebytes(data).decode()) == data
    assert decode_base64(base64.urlsafe_b64encode(data).decode().rstrip("=")) == data


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "AAAAA",
        "ab=c",
        "äöü=",
        "AAAA!",
        "data:",
        "data:image/png;base64",
        "data:image/png,AAAA",
        "AAAA;base64,AAAA",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidImage, match="not base64"):
        decode_base64(text)


def test_long_refused_text_is_shortened() -> None:
    with pytest.raises(InvalidImage) as caught:
        decode_base64("!" * 10_000)
    assert len(str(caught.value)) < 300


def test_files_may_be_nested_in_rows_of_one() -> None:
    text = base64.b64encode(b"file").decode()
    assert files_of([text, text], 2) == files_of([[text], [text]], 2) == [b"file", b"file"]


@pytest.mark.parametrize(
    "element",
    [
        "YWJj",
        {"b64": "YWJj"},
        {"url": "data:image/png;base64,YWJj"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,YWJj", "detail": "low"}},
    ],
)
def test_objects_of_other_services_hold_base64_too(element: object) -> None:
    assert files_of([element], 1) == [b"abc"]


@pytest.mark.parametrize("url", ["https://example.com/a.jpg", " HTTP://example.com/", "s3://bucket/a.jpg"])
def test_address_of_a_photo_is_named(url: str) -> None:
    with pytest.raises(InvalidImage, match="the service fetches nothing; send the file's bytes"):
        files_of([url], 1)


@pytest.mark.parametrize("element", [7, None, True, {"b64": 7}, {"url": "https://a"}, [["AAAA"]]])
def test_non_text_file_is_refused(element: object) -> None:
    with pytest.raises(InvalidRequest, match="expected a text: the bytes of a whole file in base64"):
        files_of([element], 1)


@given(st.lists(st.integers(0, 255), min_size=12, max_size=12))
def test_pixels_flat_or_nested(values: list[int]) -> None:
    nested = np.array(values).reshape(1, 2, 2, 3).tolist()
    np.testing.assert_array_equal(pixels_of(values), values)
    np.testing.assert_array_equal(pixels_of(nested), values)
    assert pixels_of(nested).dtype == np.uint8


@pytest.mark.parametrize(
    "data",
    [[1.5], [1.0], ["7"], [None], [True], [-1], [256], [10**30], [[1, 2], 3], [1, [2]], [[1], ["2"]], [{}]],
)
def test_non_byte_pixels_are_refused(data: list[object]) -> None:
    with pytest.raises(InvalidRequest):
        pixels_of(data)
