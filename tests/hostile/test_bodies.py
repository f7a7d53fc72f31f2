"""Headers and bodies that never end, come slowly, or are too much together; and answers that nobody takes."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from crowdserve.local.service import EmbeddedService
from tests.support.attacks import (
    PATH,
    connect,
    connections,
    error_of,
    head,
    heard,
    rss_bytes,
    said,
    seconds_of_photo,
    status_of,
    watched,
)
from tests.support.photos import encoded
from tests.support.requests import json_body
from tests.support.transformers import RunningTransformer, StartTransformer

pytestmark = pytest.mark.e2e

MIB = 2**20
SOON_SECONDS = 9.0
"""A time that one second of waiting stays under on a busy machine, and the settings' defaults do not."""

timed = pytest.mark.skipif(not os.environ.get("CROWDSERVE_HOSTILE_TEST"), reason="make hostile-test")


@pytest.fixture(scope="module")
def tight(small_service: EmbeddedService, start_transformer: StartTransformer) -> Iterator[RunningTransformer]:
    """A transformer with 4 MiB for bodies and six connections, which waits for a second."""
    memory = {"memory_bytes": 16 * MIB, "max_body_bytes": 8 * MIB}
    limits = {**memory, "header_timeout_seconds": 1, "body_timeout_seconds": 1, "max_connections": 6}
    with start_transformer(small_service.triton.http_url, **limits) as running:
        yield running


def test_announced_body_over_the_limit_is_refused_unread(tight: RunningTransformer) -> None:
    for length in (8 * MIB + 1, 4 * MIB + 1, 2**62):
        answer = said(tight.http_url, head(PATH, f"Content-Length: {length}"))
        assert status_of(answer) == 413, answer[:200]
        assert "over 4,194,304 bytes" in error_of(answer)  # a larger one would never find memory


@pytest.mark.parametrize("start", [b"", b"x" * 100])
@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_body_that_stops_is_given_up(tight: RunningTransformer, framing: str, start: bytes) -> None:
    begun = time.monotonic()
    answer = said(tight.http_url, head(PATH, framing), b"64\r\n" + start + b"\r\n" if "chunked" in framing else start)
    assert status_of(answer) == 408, answer[:200]
    assert "came too slowly" in error_of(answer)
    assert time.monotonic() - begun < SOON_SECONDS


def test_trickling_body_is_given_up(tight: RunningTransformer) -> None:
    with connect(tight.http_url) as connection:
        connection.sendall(head(PATH, "Content-Length: 1000000"))
        connection.settimeout(0.05)
        answer, begun = b"", time.monotonic()
        while not answer and time.monotonic() < begun + 2 * SOON_SECONDS:
            connection.sendall(b"x" * 100)
            with suppress(TimeoutError):
                answer = connection.recv(1000)
    assert status_of(answer) == 408
    assert time.monotonic() - begun < SOON_SECONDS


def test_body_that_nobody_reads_keeps_no_connection(tight: RunningTransformer) -> None:
    """The answer to a path without endpoint does not wait for the body; neither does the connection."""
    with connect(tight.http_url) as connection:
        connection.sendall(head("/nowhere", "Content-Length: 1000000"))
        assert status_of(heard(connection)) == 404
        begun = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() < begun + 2 * SOON_SECONDS:
                connection.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - begun < SOON_SECONDS


def test_unfinished_body_gives_way_to_a_whole_one(tight: RunningTransformer) -> None:
    """Three of 1.3 MiB fill the memory for bodies; the photo takes the place of one of them.

    On a busy machine their second may be over before the photo is sent: then once more.
    """
    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < 30:
        with connections(tight.http_url, 3, head(PATH, "Content-Length: 4000000"), b"x" * (4 * MIB // 3)) as waiting:
            time.sleep(0.3)
            assert seconds_of_photo(tight.http_url, b"".join([photo_of(200_000)])) < SOON_SECONDS
            answers = [heard(connection) for connection in waiting]
        statuses += map(status_of, answers)
    assert 429 in statuses
    assert set(statuses) <= {408, 429}
    assert all(b"retry-after: 1" in answer for answer in answers if status_of(answer) == 429)


def photo_of(least_bytes: int) -> bytes:
    """A photo whose file is at least so large."""
    side = int((least_bytes / 3) ** 0.5) + 8
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise), "BMP")


def test_half_sent_headers_are_given_up(tight: RunningTransformer) -> None:
    with connect(tight.http_url) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
        start = time.monotonic()
        answer = b""
        while not answer and time.monotonic() < start + 2 * SOON_SECONDS:  # one byte at a time keeps no connection open
            connection.sendall(b"x")
            connection.settimeout(0.1)
            try:
                answer = connection.recv(1000)
            except TimeoutError:
                continue
        assert status_of(answer) == 408
        assert time.monotonic() - start < SOON_SECONDS


def test_silent_connections_make_room_for_one_that_speaks(tight: RunningTransformer) -> None:
    with connections(tight.http_url, 6), connections(tight.http_url, 6, b"POST "):
        assert seconds_of_photo(tight.http_url) < SOON_SECONDS


@timed
def test_eight_unfinished_bodies_of_60_mib(small_service: EmbeddedService) -> None:
    """They cost what the budget for bodies allows, nobody else waits, and the memory comes back."""
    url, pid = small_service.http_url, small_service.transformer.pid
    photo = photo_of(300_000)
    before, memory = seconds_of_photo(url, photo), rss_bytes(pid)
    piece = b"x" * MIB
    with watched(url, pid) as watch, connections(url, 8, head(PATH, "Content-Length: 67108864"), *[piece] * 60):
        beside = [seconds_of_photo(url, photo) for _ in range(5)]
        time.sleep(15)
    time.sleep(2)
    left = rss_bytes(pid) - memory
    print(f"grown {watch.grown_bytes / MIB:.0f} MiB, {left / MIB:.0f} MiB left, photo {max(beside):.2f} s")
    assert max(beside) < before + 2
    assert watch.grown_bytes < 350 * MIB
    assert left < 100 * MIB
    assert watch.gap_seconds < 0.6
    assert not watch.failures


@timed
def test_five_hundred_half_sent_requests(small_service: EmbeddedService) -> None:
    url, pid = small_service.http_url, small_service.transformer.pid
    before = seconds_of_photo(url)
    with watched(url, pid) as watch, connections(url, 700, b"POST / HTTP/1.1\r\na: b"):
        beside = [seconds_of_photo(url) for _ in range(5)]
    print(f"grown {watch.grown_bytes / MIB:.0f} MiB, photo {max(beside):.2f} s")
    assert max(beside) < before + 2
    assert watch.grown_bytes < 64 * MIB
    assert not watch.failures


@timed
def test_answer_that_nobody_takes_is_given_up(
    small_service: EmbeddedService, start_transformer: StartTransformer
) -> None:
    """A client that asks for megabytes and reads none of them loses its connection."""
    photos = [photo_of(5_000_000)] * 3
    body = json.dumps(json_body(*photos, parameters={"heatmap": True, "route": "dense"})).encode()
    with start_transformer(small_service.triton.http_url, body_timeout_seconds=1) as running:
        with connect(running.http_url) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(head(PATH, f"Content-Length: {len(body)}") + body)
            first = connection.recv(1000)
            assert status_of(first) == 200
            assert int(first.lower().partition(b"content-length: ")[2].split(b"\r")[0]) > 10_000_000
            time.sleep(4)
            sent = 0
            with suppress(ConnectionError):
                while sent < 20:
                    connection.sendall(b"x")
                    sent += 1
                    time.sleep(0.1)
            assert sent < 20
        assert seconds_of_photo(running.http_url) < 10
