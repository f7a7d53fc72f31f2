"""The automatic rollout: gate and step in turn, until stable has the new version or all its traffic back."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from crowdserve.errors import SetupError
from crowdserve.rollout.actions import Actions, describe
from crowdserve.rollout.errors import RolloutRefused
from crowdserve.rollout.gate import Check, Gate, Outcome, Verdict
from crowdserve.rollout.release import Release
from crowdserve.rollout.state import PROMOTED, PROMOTING, RUNNING, now


@dataclass(frozen=True, slots=True)
class Pace:
    """Timing of a rollout.

    Attributes:
        steps: Shares of the canary in percent, ascending.
        soak_seconds: Shortest time to watch each share.
        patience_seconds: Longest wait for a verdict after that.
        poll_seconds: Time between two questions to the gate.
        abort_unknown: Whether to abort without a verdict; otherwise the weight stays.
    """

    steps: Sequence[int]
    soak_seconds: float
    patience_seconds: float
    poll_seconds: float
    abort_unknown: bool


def parse_steps(text: str) -> list[int]:
    """Shares from text such as "5,25,100".

    Raises:
        SetupError: If they are not ascending whole percentages.
    """
    parts = [part.strip() for part in text.split(",")]
    steps = [int(part) for part in parts if part.isdecimal()]
    if len(steps) != len(parts) or steps != sorted({*steps}) or not 1 <= steps[0] <= steps[-1] <= 100:
        raise SetupError(f"--steps is {text!r}; expected ascending percentages from 1 to 100, such as 5,25,50,100")
    return steps


def next_step(steps: Sequence[int], release: Release) -> int | None:
    """The share after the present one; None after the last. In Knative mode promote sets 100 %."""
    later = [step for step in steps if step > release.weight and not (release.knative and step == 100)]
    return later[0] if later else None


class Auto:
    """Starts or resumes a rollout, whatever its state in the cluster.

    Args:
        actions: Actions on the release.
        gate: Gate before each step.
        pace: Timing of the rollout.
    """

    def __init__(self, actions: Actions, gate: Gate, pace: Pace) -> None:
        self._actions = actions
        self._gate = gate
        self._pace = pace
        self._watched_seconds = gate.settle_seconds + pace.soak_seconds
        self._dry_verdict: Verdict | None = None

    def run(self) -> Outcome:
        """Run until the end: PASSED if promoted, FAILED if aborted, UNKNOWN if held without a verdict."""
        release = self._actions.read()
        while release.record.phase == RUNNING:
            verdict = self._verdict(release)
            if verdict is not None:  # else another command has acted: read again
                if verdict.outcome is not Outcome.PASSED and not self._continues(verdict):
                    return self._stop(release, verdict)
                weight = next_step(self._pace.steps, release)
                if weight is None:
                    break
                self._step(release, weight, verdict)
            release = self._actions.read()
        return self._finish(release)

    def _step(self, release: Release, weight: int, verdict: Verdict) -> None:
        try:
            self._actions.step(release, weight, score=verdict.score, reference=verdict.reference)
        except RolloutRefused:
            if self._actions.read().record == release.record:
                raise  # else another command has acted: read again

    def _finish(self, release: Release) -> Outcome:
        if release.record.phase in {RUNNING, PROMOTING}:
            self._actions.promote(release)
        elif release.record.phase != PROMOTED or release.departures:
            raise RolloutRefused(f"the rollout of {release.name!r} is {describe(release)}; begin one with start")
        return self._dry_verdict.outcome if self._dry_verdict else Outcome.PASSED

    def _stop(self, release: Release, verdict: Verdict) -> Outcome:
        if verdict.outcome is Outcome.FAILED or self._pace.abort_unknown:
            self._actions.abort(f"gate at {release.weight} %: {verdict.reason}")
            return Outcome.FAILED
        stays = f"no verdict, the canary stays at {release.weight} %: {verdict.reason}"
        remedy = (
            "waiting would bring none: mend this, or abort" if verdict.lasting else "run auto again to go on, or abort"
        )
        self._actions.say(f"{stays}; {remedy}")
        return Outcome.UNKNOWN

    def _continues(self, verdict: Verdict) -> bool:
        """Whether to continue without a verdict: a dry run shows the steps that would follow."""
        return self._actions.cluster.dry_run and verdict.outcome is Outcome.UNKNOWN and not self._pace.abort_unknown

    def _verdict(self, before: Release) -> Verdict | None:
        """The gate's verdict at a share, once it has been watched; None if another command has acted meanwhile."""
        if self._actions.cluster.dry_run:
            return self._verdict_of_dry_run(before)
        patience_ends, said = None, ""
        while (release := self._actions.read()).record == before.record:
            soaked = release.weight == 0 or (now() - release.record.begin).total_seconds() >= self._watched_seconds
            verdict = self._gate.ask(release, with_golden=soaked)
            if verdict.outcome is Outcome.FAILED or (soaked and verdict.outcome is Outcome.PASSED):
                return self._said(release, verdict)
            if verdict.lasting:
                return self._said(release, verdict)
            if soaked:
                clock = self._actions.cluster.clock()
                patience_ends = patience_ends or clock + self._pace.patience_seconds
                if clock >= patience_ends:
                    return self._said(release, verdict)
            waits_for = (
                verdict.reason
                if verdict.outcome is Outcome.UNKNOWN
                else f"{self._watched_seconds:g} s from when it was set"
            )
            if waits_for != said:
                self._actions.say(f"waiting at {release.weight} %: {waits_for}")
                said = waits_for
            time.sleep(self._pace.poll_seconds)
        return None

    def _verdict_of_dry_run(self, release: Release) -> Verdict:
        """The gate's verdict now; shares that a dry run cannot try are assumed to pass."""
        if self._dry_verdict is None:
            self._dry_verdict = self._said(release, self._gate.ask(release))
            return self._dry_verdict
        assumed = Check("assumed", Outcome.PASSED, "a dry run shifts no traffic that could be measured")
        return self._said(release, Verdict([assumed], self._dry_verdict.score, self._dry_verdict.reference))

    def _said(self, release: Release, verdict: Verdict) -> Verdict:
        lines = [f"gate at {release.weight} %", *(str(check) for check in verdict.checks)]
        self._actions.say("\n  ".join(lines))
        return verdict
