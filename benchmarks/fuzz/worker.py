"""A process that makes trials of one target until its time is over, and tells its parent about them."""

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from benchmarks.fuzz.edits import Edit, edited, edits
from benchmarks.fuzz.last_input import LastInput
from benchmarks.fuzz.targets import TARGETS, Target
from benchmarks.fuzz.trial import Fault, attempt

MAX_EDITS = 6
ROUND_EXAMPLES = 500
TRIALS_OF_EXAMPLE = 24
"""Each example's edits are made to so many seeds, or to other places of them: drawing takes longer than most trials."""

REPORT_SECONDS = 0.5


@dataclass(slots=True)
class Tally:
    """Figures of one target.

    Attributes:
        answers: Inputs by what became of them.
        longest_seconds: Time of the slowest input.
        most_bytes: Memory of the dearest input.
    """

    answers: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0
    most_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that met a fault, as small as it could be made."""

    target: str
    kind: str
    detail: str
    data: bytes


def input_file(folder: Path, name: str) -> Path:
    """The file that holds the input that a target's worker is trying."""
    return folder / f"{name}-input"


def printed_file(folder: Path, name: str) -> Path:
    """The file for what a target's worker prints; the libraries' decoders complain a lot."""
    return folder / f"{name}-printed"


def work(name: str, first_seed: int, seconds: float, folder: Path, parent: Connection) -> None:
    """Make trials; the messages to the parent are a `Tally` now and then, a `Finding` for each fault, at the end None.

    Args:
        name: Name of the target.
        first_seed: Seed of the first round; each round has another.
        seconds: Time of the work.
        folder: Folder for the input that is being tried and for what is printed.
        parent: The parent's end of the connection.
    """
    with printed_file(folder, name).open("wb") as printed:
        os.dup2(printed.fileno(), 2)
    bench = _Bench(name, TARGETS[name], input_file(folder, name), parent, time.monotonic() + seconds)
    round_seed = first_seed
    while not bench.is_over:
        bench.make_round(round_seed)
        round_seed += 1
    parent.send(bench.tally)
    parent.send(None)


class _Bench:
    def __init__(self, name: str, target: Target, current: Path, parent: Connection, end: float) -> None:
        self.tally = Tally()
        self._name = name
        self._target = target
        self._seeds = target.seeds()
        self._current = LastInput(current)
        self._parent = parent
        self._end = end
        self._reported = 0.0
        self._known: set[str] = set()
        self._failed: tuple[Fault, bytes] | None = None

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._end

    def make_round(self, round_seed: int) -> None:
        """Some hundred trials; a fault ends them, and its input is shrunk."""

        @seed(round_seed)
        @settings(
            max_examples=ROUND_EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(st.integers(0, len(self._seeds) - 1), st.lists(edits(), max_size=MAX_EDITS))
        def trials(first: int, changes: list[Edit]) -> None:
            for shift in range(TRIALS_OF_EXAMPLE):
                if not self.is_over:
                    self._try(edited(self._seeds[(first + shift) % len(self._seeds)], changes, shift))

        try:
            trials()
        except (Fault, Flaky):
            self._report_failure()

    def _try(self, data: bytes) -> None:
        self._current.write(data)
        try:
            outcome = attempt(self._target, data)
        except Fault as fault:
            self.tally.answers["fault"] += 1
            if fault.kind in self._known:
                return
            self._failed = (fault, data)
            raise
        finally:
            self._tell()
        self.tally.answers[outcome.answer] += 1
        self.tally.longest_seconds = max(self.tally.longest_seconds, outcome.seconds)
        self.tally.most_bytes = max(self.tally.most_bytes, outcome.growth_bytes)

    def _report_failure(self) -> None:
        """Tell the parent about the smallest input that failed, and fail no more with that kind of fault."""
        if self._failed is None:
            return
        fault, data = self._failed
        self._known.add(fault.kind)
        self._parent.send(Finding(self._name, fault.kind, fault.detail, data))
        self._failed = None

    def _tell(self) -> None:
        if time.monotonic() > self._reported + REPORT_SECONDS:
            self._parent.send(self.tally)
            self._reported = time.monotonic()
