"""Downloads that are slow, and those that only look so."""

import time
from collections.abc import Iterator

import pytest

from crowdserve.bundle import pace
from crowdserve.bundle.pace import paced
from crowdserve.errors import BundleError


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "PACE_SECONDS", 0.1)


def test_a_slow_disk_is_no_slow_line() -> None:
    taken = []
    for chunk in paced(iter([b"a", b"b", b"c"]), "it"):
        time.sleep(0.2)  # as a disk that is busy, or a process that was stopped for a while
        taken.append(chunk)
    assert taken == [b"a", b"b", b"c"]


def test_a_line_is_slow_that_takes_long_for_many_chunks() -> None:
    def dripping() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)
            yield b"a"

    with pytest.raises(BundleError, match=r"it: \d+ bytes came in 0.1 s"):
        list(paced(dripping(), "it"))


def test_a_slow_line_that_goes_on() -> None:
    def slow() -> Iterator[bytes]:
        for _ in range(4):
            time.sleep(0.06)
            yield bytes(1 << 16)

    assert len(list(paced(slow(), "it"))) == 4
