"""The lock files of the images: whole, in step with constraints.txt, and nothing without hashes."""

import re
from collections.abc import Iterator
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT
from tools import locks
from tools.locks import LOCKS, Lock, requirements

IMAGE = {
    "python_version": locks.PYTHON_VERSION,
    "python_full_version": f"{locks.PYTHON_VERSION}.13",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
    "platform_system": "Linux",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "os_name": "posix",
}
REMEDY = "run make lock"

every_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)


def pins(lock: Lock) -> dict[str, str]:
    """The versions in a lock file, by canonical name."""
    found = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.path.read_text(), re.MULTILINE))
    return {str(canonicalize_name(name)): version for name, version in found.items()}


def constraints() -> dict[str, str]:
    """What constraints.txt says for the images."""
    lines = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] not in {"", "#"})
    asked = [Requirement(line) for line in lines]
    return {
        str(canonicalize_name(each.name)): str(each.specifier).removeprefix("==")
        for each in asked
        if each.marker is None or each.marker.evaluate(IMAGE)
    }


def needed(asked: Requirement) -> Iterator[Requirement]:
    """What a package that is installed here needs in an image, itself included."""
    yield asked
    for extra in ("", *asked.extras):
        for text in metadata.requires(asked.name) or []:
            other = Requirement(text)
            if other.marker is None or other.marker.evaluate({**IMAGE, "extra": extra}):
                yield from needed(other)


@every_lock
def test_every_line_is_a_version_or_a_hash(lock: Lock) -> None:
    comment, *lines = lock.path.read_text().splitlines()
    assert comment.startswith("# Packages of ")
    starts = [i for i, line in enumerate(lines) if line[:1].strip()]
    assert starts
    assert starts[0] == 0
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        assert re.fullmatch(r"[\w.-]+==[\w.]+ \\", lines[start]), lines[start]
        hashes = lines[start + 1 : end]
        assert hashes
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes), lines[start]


@every_lock
def test_versions_are_those_of_the_constraints(lock: Lock) -> None:
    tested = constraints()
    assert {name: tested.get(name) for name in pins(lock)} == pins(lock), REMEDY


@every_lock
def test_a_lock_holds_all_that_is_asked_for_and_no_more(lock: Lock) -> None:
    """So that pip resolves nothing and installs without asking for more."""
    found = pins(lock)
    asked = [Requirement(text) for text in requirements(lock)]
    everything = [each for one in asked if one.marker is None or one.marker.evaluate(IMAGE) for each in needed(one)]
    for each in everything:
        version = found.get(canonicalize_name(each.name))
        assert version is not None, f"{lock.path} lacks {each}; {REMEDY}"
        assert each.specifier.contains(version, prereleases=True), f"{each} is {version} in {lock.path}; {REMEDY}"
    names = {str(canonicalize_name(each.name)) for each in everything}
    assert set(found) == names | set(lock.alone), REMEDY
