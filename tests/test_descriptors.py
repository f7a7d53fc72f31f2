"""The soft limit of descriptors is raised to what is needed, never lowered, and too low a hard limit is told."""

import logging
import resource
import subprocess
import sys

import pytest

from crowdserve.descriptors import allow_descriptors

_CODE = """
import resource, sys
from crowdserve.descriptors import allow_descriptors
soft, hard, needed = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(allow_descriptors(needed, "ask for less"), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits(soft: int, hard: int, needed: int) -> tuple[list[int], str]:
    """What is allowed, and the limits afterwards, in a process that had others; and what it logs."""
    command = [sys.executable, "-c", _CODE, str(soft), str(hard), str(needed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(each) for each in done.stdout.split()], done.stderr


@pytest.mark.parametrize(("soft", "needed", "then"), [(100, 400, 400), (300, 200, 300)])
def test_soft_limit_is_raised_and_never_lowered(soft: int, needed: int, then: int) -> None:
    assert limits(soft, 500, needed) == ([then, then, 500], "")


def test_hard_limit_that_is_too_low_is_told() -> None:
    allowed, told = limits(100, 500, 501)
    assert allowed == [500, 500, 500]
    assert told.startswith("this process may have 500 files and connections open, and may need 501: ")
    assert told.endswith(" or ask for less\n")


def test_limit_that_the_system_does_not_raise_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")  # as on macOS

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with caplog.at_level(logging.WARNING):
        assert allow_descriptors(1_000, "ask for less") == 256
    assert "may have 256 files and connections open, and may need 1000" in caplog.text
