"""The soak's bounds: each is found broken where it is, and none where all is well."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.soak.answers import Answer, Answers
from benchmarks.soak.attacks import _grpc_messages, _hostile_json
from benchmarks.soak.connection import Address, Reply, post
from benchmarks.soak.memory import Sample, windows
from benchmarks.soak.report import broken_bounds, tables
from benchmarks.soak.traffic import WRONG

GOOD = [Answer("v2 json", True, "200", 0.1)] * 50 + [Answer("v2 grpc", True, "OK", 0.1)] * 50
STEADY = [Sample(5.0 * number, 100 << 20, 50 << 20, 50 << 20) for number in range(1, 120)]


def test_refusals_and_load_break_no_bound() -> None:
    hostile = [
        *(Answer("bombs", False, status, 0.1) for status in ("200", "400", "413", "429", "closed", "held")),
        Answer("flood", False, "503", 0.1, retry_after=True),
        *(Answer("hostile grpc", False, code, 0.1) for code in ("INVALID_ARGUMENT", "DEADLINE_EXCEEDED")),
    ]
    assert broken_bounds([*GOOD, *hostile], STEADY) == []
    text = tables([*GOOD, *hostile], STEADY)
    assert "100.0% of 100 ordinary photos counted" in text
    assert "\nminute 10 " in text


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer("bombs", False, "500", 1.0), "bombs: 500, a fault of the service"),
        (Answer("bombs", False, "502", 1.0), "bombs: 502, a fault of the service"),
        (Answer("flood", False, "503", 1.0), "flood: 503, without Retry-After"),
        (Answer("hostile grpc", False, "UNKNOWN", 1.0), "hostile grpc: UNKNOWN, a fault of the service"),
        (Answer("hostile grpc", False, "INTERNAL", 1.0), "hostile grpc: INTERNAL, a fault of the service"),
        (Answer("v2 json", True, WRONG, 1.0), "v2 json: wrong count, not the count of that photo"),
        (Answer("v2 json", True, "closed", 1.0), "v2 json: closed, an ordinary photo without an answer"),
        (Answer("v2 grpc", True, "DEADLINE_EXCEEDED", 30.0), "v2 grpc: DEADLINE_EXCEEDED, an ordinary photo over"),
        (Answer("v1 json", True, "400", 1.0), "v1 json: 400, an ordinary photo refused"),
        (Answer("v2 grpc", True, "INVALID_ARGUMENT", 1.0), "v2 grpc: INVALID_ARGUMENT, an ordinary photo refused"),
        (Answer("v2 json", True, "200", 40.0), "1 ordinary photos were answered after the deadline of 30 s"),
    ],
)
def test_a_broken_bound_is_named(answer: Answer, sentence: str) -> None:
    (found,) = broken_bounds([*GOOD, answer], STEADY)
    assert found.startswith(sentence)


def test_ordinary_photos_must_be_counted() -> None:
    busy = [Answer("v2 json", True, "429", 0.1, retry_after=True)] * 20
    (found,) = broken_bounds([*GOOD, *busy], STEADY)
    assert "83.3% of the ordinary photos were counted" in found


def test_memory_may_not_grow_by_a_tenth() -> None:
    grown = [Sample(s.at_seconds, s.transformer + (int(s.at_seconds) << 16), s.decoders, s.triton) for s in STEADY]
    (found,) = broken_bounds(GOOD, grown)
    assert found.startswith("memory grew to 1.1")
    busy = [
        Sample(s.at_seconds, s.transformer, s.decoders + (number % 5 << 27), s.triton)
        for number, s in enumerate(STEADY)
    ]
    assert broken_bounds(GOOD, busy) == []  # what pictures in progress take
    assert broken_bounds(GOOD, []) == ["there are no samples of memory: the run was too short"]


def test_the_windows_are_the_first_minute_and_the_last() -> None:
    first, last = windows(STEADY)
    assert [first[0].at_seconds, first[-1].at_seconds] == [5.0, 60.0]
    assert [last[0].at_seconds, last[-1].at_seconds] == [535.0, 595.0]


@contextmanager
def answering(reply: bytes) -> Iterator[Address]:
    """A server of one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address("127.0.0.1", listener.getsockname()[1], 1)
        thread.join()


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Reply("200")),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n\r\n", Reply("503", True)),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad\r\n\r\n", Reply("400")),
        (b"", Reply("closed")),
        (b"SSH-2.0\r\n", Reply("closed")),
    ],
)
def test_a_reply_is_read_byte_by_byte(sent: bytes, reply: Reply) -> None:
    with answering(sent) as address:
        assert post(address, "/", b"{}") == reply


def test_attacks_are_made_and_answers_chosen() -> None:
    assert {bool(_hostile_json(random.Random(seed))) for seed in range(6)} == {True}
    assert len(list(_grpc_messages(random.Random(1)))) > 5
    answers = Answers()
    for answer in GOOD:
        answers.add(answer)
    assert len(answers.chosen(lambda each: each.kind == "v2 grpc")) == 50
