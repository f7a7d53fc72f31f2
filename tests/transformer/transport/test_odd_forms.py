"""Forms that are made to cost time: a parser that is called for each of millions of pieces would take many seconds."""

import time

import pytest

from crowdserve.errors import InvalidRequest
from crowdserve_transformer.transport.forms import decode_form

HEADERS = {"content-type": "multipart/form-data; boundary=x-y"}
BEGIN = b'--x-y\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n'
SIZE = 30 * 2**20

COSTLY = {
    "boundaries inside a part": (b"\r\n--x-y\r", "boundary stands inside them; the limit is 48"),
    "parts without a name": (b"\r\n--x-y\r\n\r\n", "parts, or its boundary"),
    "almost boundaries": (b"\r\n--x-", "ends early"),
    "carriage returns": (b"\r", "ends early"),
}


@pytest.mark.parametrize("kind", COSTLY)
def test_a_form_costs_little_time(kind: str) -> None:
    piece, message = COSTLY[kind]
    body = bytearray(BEGIN + piece * (SIZE // len(piece)))
    started = time.process_time()
    with pytest.raises(InvalidRequest, match=message):
        decode_form(body, HEADERS, "crowdserve", 16)
    assert time.process_time() - started < 1.0
