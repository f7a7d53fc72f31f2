"""Tables of a run, and the bounds that it broke."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from statistics import quantiles

from benchmarks.soak.answers import Answer
from benchmarks.soak.memory import WINDOW_SECONDS, Sample, median_sample, resting_sample, windows
from benchmarks.soak.traffic import DEADLINE_SECONDS, WRONG

MAX_GROWTH = 1.10
LEAST_ANSWERED = 0.9
GRPC_OF_LOAD = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED"})
GRPC_OF_CALLERS = frozenset({"OK", "INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE", "UNIMPLEMENTED"})
"""INTERNAL and UNKNOWN, which a fault of the service gives, are in neither."""

ENDS = frozenset({"closed", "left", "held", "silent", "unsent"})
"""Words for connections that ended without an answer."""

_MIB = 1 << 20


def tables(answers: Sequence[Answer], samples: Sequence[Sample]) -> str:
    """Statuses by kind, latencies of ordinary photos, memory at the start and at the end."""
    return "\n\n".join([_statuses(answers), _latencies(answers), _memory(samples)])


def broken_bounds(answers: Sequence[Answer], samples: Sequence[Sample]) -> list[str]:
    """A sentence for each bound that does not hold."""
    ordinary = [answer for answer in answers if answer.ordinary]
    broken = [f"{answer.kind}: {answer.status}, {_why(answer)}" for answer in answers if _why(answer)]
    found = [f"{text} ({number} times)" for text, number in Counter(broken).items()]
    late = sum(answer.seconds > DEADLINE_SECONDS + 1 for answer in ordinary)
    if late:
        found.append(f"{late} ordinary photos were answered after the deadline of {DEADLINE_SECONDS:g} s")
    answered = _share_answered(ordinary)
    if answered < LEAST_ANSWERED:
        found.append(f"{answered:.1%} of the ordinary photos were counted; the bound is {LEAST_ANSWERED:.0%}")
    first, last = windows(samples)
    if not first or not last:
        found.append("there are no samples of memory: the run was too short")
    elif (growth := resting_sample(last).total / resting_sample(first).total) > MAX_GROWTH:
        found.append(f"memory grew to {growth:.2f} times that of the first minute")
    return found


def _why(answer: Answer) -> str:
    """What is wrong with one answer; empty if nothing is."""
    status = answer.status
    if status == WRONG:
        return "not the count of that photo"
    if answer.ordinary and status in ENDS:
        return "an ordinary photo without an answer"
    if answer.ordinary and status in {"408", "DEADLINE_EXCEEDED"}:
        return "an ordinary photo over its deadline"
    if answer.ordinary and ((status[:1] == "4" and status != "429") or status in GRPC_OF_CALLERS - {"OK"}):
        return "an ordinary photo refused"
    if status.startswith("5"):
        if status != "503":
            return "a fault of the service"
        return "" if answer.retry_after else "without Retry-After"
    if not status[:1].isdigit() and status not in GRPC_OF_LOAD | GRPC_OF_CALLERS | ENDS:
        return "a fault of the service"
    return ""


def _share_answered(ordinary: Sequence[Answer]) -> float:
    return sum(answer.status in {"200", "OK"} for answer in ordinary) / max(1, len(ordinary))


def _statuses(answers: Sequence[Answer]) -> str:
    lines = [f"{'ordinary traffic and attacks':<30}answers"]
    for kind in dict.fromkeys(answer.kind for answer in sorted(answers, key=lambda answer: not answer.ordinary)):
        counted = Counter(answer.status for answer in answers if answer.kind == kind)
        lines.append(f"{kind:<30}" + ", ".join(f"{status} {number}" for status, number in sorted(counted.items())))
    return "\n".join(lines)


def _latencies(answers: Sequence[Answer]) -> str:
    ordinary = [answer for answer in answers if answer.ordinary]
    seconds = [answer.seconds for answer in ordinary if answer.status in {"200", "OK"}]
    share = f"{_share_answered(ordinary):.1%} of {len(ordinary)} ordinary photos counted"
    if len(seconds) < 2:
        return share
    cuts = quantiles(seconds, n=100)
    return f"{share}; seconds: p50 {cuts[49]:.2f}, p95 {cuts[94]:.2f}, longest {max(seconds):.2f}"


def _memory(samples: Sequence[Sample]) -> str:
    """Medians of each minute, the largest sample, and what the first and the last minute held between pictures."""
    lines = [f"{'memory, MiB':<14} {'transformer':>11}{'decoders':>10}{'Triton':>8}{'all':>8}"]
    for minute, chosen in groupby(samples, key=lambda sample: int(sample.at_seconds // WINDOW_SECONDS)):
        lines.append(_memory_row(f"minute {minute + 1}", median_sample(list(chosen))))
    if samples:
        lines.append(_memory_row("largest", max(samples, key=lambda sample: sample.total)))
        for name, window in zip(("first, at rest", "last, at rest"), windows(samples), strict=True):
            lines.append(_memory_row(name, resting_sample(window)))
    return "\n".join(lines)


def _memory_row(name: str, sample: Sample) -> str:
    figures = (sample.transformer, sample.decoders, sample.triton, sample.total)
    return f"{name:<14} " + "".join(f"{value / _MIB:>{w}.0f}" for value, w in zip(figures, (11, 10, 8, 8), strict=True))
