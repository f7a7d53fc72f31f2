"""The fuzzer finds what it is made for: faults, crashes and hangs that are planted here."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.fuzz import campaign, parts, seeds
from benchmarks.fuzz.campaign import Result
from benchmarks.fuzz.edits import Cut, Flip, Insert, Part, Write, edited
from benchmarks.fuzz.last_input import LastInput
from benchmarks.fuzz.report import save, statistics
from benchmarks.fuzz.targets import TARGETS, Target
from benchmarks.fuzz.trial import Fault, attempt
from benchmarks.fuzz.worker import Finding, Tally, input_file
from crowdserve.errors import InvalidImage, TritonFailed
from tests.support.paths import ROOT


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_accepted(name: str) -> None:
    for seed in TARGETS[name].seeds():
        assert attempt(TARGETS[name], seed).answer == "accepted"


def test_parts_make_the_same_file_again() -> None:
    for seed in [*seeds.files(), *seeds.v2_messages(), *seeds.binary_messages(), *seeds.grpc_messages()]:
        assert parts.join(parts.split(seed)) == seed


def test_an_edited_chunk_of_a_png_still_has_its_checksum() -> None:
    png = seeds.encoded(seeds.drawn("L"), "PNG")
    index = next(number for number, part in enumerate(parts.split(png)) if part[4:8] == b"IHDR")
    wider = Part(index, "edit", 1, Write(8, 4, "big", 9)).apply(png)
    assert wider[16:20] == (9).to_bytes(4, "big")
    assert wider != png
    attempt(TARGETS["images"], wider)


@pytest.mark.parametrize(
    ("edit", "result"),
    [
        (Flip(6, 0x20), b"Abcdef"),
        (Cut(1, 2), b"adef"),
        (Write(1, 2, "big", 0x4142), b"aABdef"),
        (Insert(3, b"-"), b"abc-def"),
        (Part(0, "copy", 2, Flip(0, 1)), b"abcdef" * 3),
        (Part(0, "drop", 1, Flip(0, 1)), b""),
    ],
)
def test_edits(edit: Flip | Cut | Write | Insert | Part, result: bytes) -> None:
    assert edited(b"abcdef", [edit]) == result
    assert isinstance(edit.apply(b""), bytes)


def refuse(data: bytes) -> None:
    raise InvalidImage("no")


def fail(data: bytes) -> None:
    raise TritonFailed("500")


GROWING = """
from benchmarks.fuzz.targets import Target
from benchmarks.fuzz.trial import attempt

attempt(Target(list, lambda data: bytearray(b"x" * (200 << 20)), max_seconds=60, max_growth_bytes=16 << 20), b"")
"""


def break_index(data: bytes) -> None:
    [][1]


def test_a_refusal_is_no_fault() -> None:
    assert attempt(Target(list, refuse), b"").answer == "InvalidImage"


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (fail, "TritonFailed in test_fuzz.py"),
        (break_index, "IndexError in test_fuzz.py"),
        (lambda data: sum(range(2_000_000)), "time"),
    ],
)
def test_a_planted_fault_is_found(call: object, kind: str) -> None:
    with pytest.raises(Fault, match=kind):
        attempt(Target(list, call, max_seconds=0.01 if kind == "time" else 60, max_growth_bytes=16 << 20), b"")


def test_planted_growth_is_found() -> None:
    """In a process of its own, as trials are: one that ran other tests may give memory back meanwhile."""
    done = subprocess.run([sys.executable, "-c", GROWING], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Fault: memory: " in done.stderr


@pytest.mark.skipif(not os.environ.get("CROWDSERVE_HOSTILE_TEST"), reason="make hostile-test: two new processes")
def test_a_worker_that_dies_or_hangs_leaves_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "work", die)
    result = Result("images")
    assert campaign._run_worker(result, 1, 1.0, tmp_path)
    (finding,) = result.findings
    assert (finding.kind, finding.data) == ("ends the process with exit code -9", b"deadly")
    monkeypatch.setattr(campaign, "work", hang)
    monkeypatch.setattr(campaign, "START_SECONDS", 0.2)
    assert campaign._run_worker(result, 1, 1.0, tmp_path)
    assert result.findings[1].kind.startswith("hangs for over")


def die(name: str, first_seed: int, seconds: float, folder: Path, parent: object) -> None:
    LastInput(input_file(folder, name)).write(b"deadly")
    os.kill(os.getpid(), 9)


def hang(name: str, first_seed: int, seconds: float, folder: Path, parent: object) -> None:
    time.sleep(60)


def test_findings_are_files_and_statistics_a_table(tmp_path: Path) -> None:
    finding = Finding("v2", "KeyError in codec.py:7", "traceback", b"{}")
    file = save(finding, tmp_path / "findings")
    assert file.read_bytes() == b"{}"
    assert "KeyError in codec.py:7" in file.with_suffix(".txt").read_text()
    tally = Tally(longest_seconds=0.5, most_bytes=3 << 20)
    tally.answers.update({"accepted": 2, "InvalidRequest": 1})
    row = statistics([Result("v2", 1.5, [tally])]).splitlines()[1]
    assert row.split() == ["v2", "3", "2", "0.50", "s", "3", "MiB", "accepted", "2,", "InvalidRequest", "1"]
