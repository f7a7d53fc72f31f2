"""The parent of the workers: it notices those that die or hang, takes their last input as a finding and goes on."""

import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fuzz.last_input import last_input
from benchmarks.fuzz.worker import Finding, Tally, input_file, printed_file, work

HANG_SECONDS = 30.0
"""A worker tells something every half a second, or between two inputs; one silent for longer hangs in one input."""

START_SECONDS = 180.0
"""Longest start of a worker, up to what it tells first: its imports take long on a busy machine."""

_PROCESSES = multiprocessing.get_context("spawn")


@dataclass(slots=True)
class Result:
    """What the trials of one target came to."""

    target: str
    seconds: float = 0.0
    tallies: list[Tally] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def run(target: str, first_seed: int, seconds: float, folder: Path) -> Result:
    """Try a target for some seconds, with a new worker each time that one dies or hangs.

    Args:
        target: Name of the target.
        first_seed: Seed of the first round.
        seconds: Time of all trials.
        folder: Folder for the current input.
    """
    result = Result(target)
    started = time.monotonic()
    while (left := seconds - (time.monotonic() - started)) > 0:
        lost = _run_worker(result, first_seed + 10_000 * len(result.tallies), left, folder)
        if not lost:
            break
    result.seconds = time.monotonic() - started
    return result


def _run_worker(result: Result, first_seed: int, seconds: float, folder: Path) -> bool:
    """Run one worker to its end; returns whether it was lost before."""
    current, printed = input_file(folder, result.target), printed_file(folder, result.target)
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    worker = _PROCESSES.Process(target=work, args=(result.target, first_seed, seconds, folder, theirs))
    worker.start()
    theirs.close()
    tally = Tally()
    fault = ""
    try:
        for message in _messages(ours):
            if isinstance(message, Tally):
                tally = message
            elif isinstance(message, Finding):
                result.findings.append(message)
    except TimeoutError:
        fault = f"hangs for over {HANG_SECONDS:.0f} s"
        worker.kill()
    except EOFError:
        worker.join()
        fault = f"ends the process with exit code {worker.exitcode}"
    worker.join()
    ours.close()
    result.tallies.append(tally)
    if fault:
        detail = f"the last input of a worker process, which printed:\n{_end_of(printed)}"
        result.findings.append(Finding(result.target, fault, detail, last_input(current)))
    return bool(fault)


def _end_of(printed: Path) -> str:
    return printed.read_text(errors="replace")[-2000:] if printed.exists() else ""


def _messages(connection: "multiprocessing.connection.Connection") -> Iterator[object]:
    """A worker's messages up to its last.

    Raises:
        TimeoutError: If it is silent for too long.
        EOFError: If it ended without a last message.
    """
    patience_seconds = START_SECONDS
    while connection.poll(patience_seconds):
        patience_seconds = HANG_SECONDS
        message = connection.recv()
        if message is None:
            return
        yield message
    raise TimeoutError
