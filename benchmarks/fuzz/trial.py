"""One input given to one target: accepted, refused as it should be, or a finding."""

import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fuzz.own_memory import forget_peak, peak_bytes
from benchmarks.fuzz.targets import Target
from crowdserve.errors import CrowdServeError


class Fault(Exception):
    """What an input may not do; `kind` is the same for inputs that meet the same fault."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input.

    Attributes:
        answer: "accepted", or the class of the refusal.
        seconds: Processor time that it took; an input that waits without end is a hang of the whole trial.
        growth_bytes: Memory that it took beyond what the process had, at the most.
    """

    answer: str
    seconds: float
    growth_bytes: int


def attempt(target: Target, data: bytes) -> Outcome:
    """Give a target an input.

    Raises:
        Fault: If it fails with anything but a refusal, or the input costs more than it may, twice in a row.
    """
    outcome = _measured(target, data)
    if _is_dear(target, outcome):
        outcome = _measured(target, data)  # the first of its kind may have loaded a library
    if outcome.seconds > target.max_seconds:
        raise Fault("time", f"{outcome.seconds:.1f} s; the bound is {target.max_seconds:g} s")
    if outcome.growth_bytes > target.max_growth_bytes:
        bound = target.max_growth_bytes >> 20
        raise Fault("memory", f"{outcome.growth_bytes >> 20} MiB; the bound is {bound} MiB")
    return outcome


def _is_dear(target: Target, outcome: Outcome) -> bool:
    return outcome.seconds > target.max_seconds or outcome.growth_bytes > target.max_growth_bytes


def _measured(target: Target, data: bytes) -> Outcome:
    before = forget_peak()
    started = time.process_time()
    answer = "accepted"
    try:
        target.call(data)
    except CrowdServeError as err:
        if not 400 <= err.http_status < 500:
            raise Fault(_place_of(err), str(err)) from err
        answer = type(err).__name__
    except Exception as err:
        raise Fault(_place_of(err), "".join(traceback.format_exception(err))) from err
    return Outcome(answer, time.process_time() - started, peak_bytes() - before)


def _place_of(err: BaseException) -> str:
    """The class of an exception and the place where it was raised."""
    frames = traceback.extract_tb(err.__traceback__)
    last = frames[-1] if frames else None
    return f"{type(err).__name__} in {Path(last.filename).name}:{last.lineno}" if last else type(err).__name__
