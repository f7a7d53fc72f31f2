import asyncio
import gzip
import random
import zlib

import pytest

from crowdserve_transformer.budget import Budget
from crowdserve_transformer.threads import Threads
from crowdserve_transformer.transport.answer_coding import LEAST_BYTES, accepted_coding, coded

NUMBERS = b"0.12345678," * 20_000
NOISE = random.Random(1).randbytes(200_000)
JSON = {"content-type": "application/json"}


def answer(content: bytes, accept: str, free_bytes: int = 10**9) -> tuple[bytes, dict[str, str]]:
    threads = Threads(1)
    hold = Budget(2 * free_bytes, picture_bytes=1, max_waiting=1).answer()
    try:
        return asyncio.run(coded(content, JSON, [accept], threads, hold))
    finally:
        threads.close()


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("", None),
        ("identity", None),
        ("br", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate", "gzip"),
        ("deflate, gzip;q=1.0", "gzip"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip ; q=0.5 , deflate ; Q=0.8", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=0.000, deflate;q=0", None),
        ("*", "gzip"),
        ("*;q=0", None),
        ("*;q=0, deflate", "deflate"),
        ("gzip;q=0, *", "deflate"),
        ("br, *;q=0.1", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0, *;q=0.2", "gzip"),
        ("gzip;q=high", None),
        ("gzip;level=9", "gzip"),
        (",,;,", None),
    ],
)
def test_coding_that_the_caller_likes_best(accept: str, coding: str | None) -> None:
    assert accepted_coding([accept]) == coding
    content, headers = answer(NUMBERS, accept)
    assert headers.get("content-encoding") == coding
    assert headers["vary"] == "accept-encoding"
    unpack = {None: bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}[coding]
    assert unpack(content) == NUMBERS
    assert (len(content) < len(NUMBERS) / 10) is (coding is not None)


def test_several_headers_are_one_list() -> None:
    assert accepted_coding(["deflate;q=0.2", "gzip;q=0.1"]) == "deflate"


@pytest.mark.parametrize("content", [NUMBERS[: LEAST_BYTES - 1], NOISE, b'{"head": 1}' + NOISE])
def test_what_would_not_pay_is_sent_as_it_is(content: bytes) -> None:
    assert answer(content, "gzip") == (content, {**JSON, "vary": "accept-encoding"})


def test_an_answer_without_memory_for_a_second_form_is_sent_as_it_is() -> None:
    assert answer(NUMBERS, "gzip", free_bytes=len(NUMBERS) - 1)[0] == NUMBERS
    assert answer(NUMBERS, "gzip", free_bytes=len(NUMBERS))[0] != NUMBERS
