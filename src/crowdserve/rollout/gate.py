"""The gate: checks that decide whether the canary may have more traffic."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from crowdserve.rollout.cluster import Cluster
from crowdserve.rollout.golden import GoldenFailed, GoldenSet, GoldenUnreachable
from crowdserve.rollout.prometheus import REQUESTS_FOR_P95, Prometheus, PrometheusSilent
from crowdserve.rollout.release import Release
from crowdserve.rollout.resources import CANARY, STABLE
from crowdserve.rollout.state import Score, Traffic, now
from crowdserve.rollout.workload import unready

START_SECONDS = 120.0
"""Far more than `start` takes between the record and the canary's version."""
_NO_WAY_TO_CANARY = "no rule or tag leads to the canary alone"


class Outcome(StrEnum):
    """Outcome of a check, and of all checks together."""

    PASSED = "ok"
    FAILED = "FAILED"
    UNKNOWN = "unknown"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    Attributes:
        name: Subject of the check.
        outcome: Outcome of the check.
        reason: Figures behind the outcome.
        lasting: Whether an unknown outcome stays so however long one waits.
    """

    name: str
    outcome: Outcome
    reason: str
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.outcome:<8}  {self.name:<10}  {self.reason}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's checks, and its measurements of the stable track.

    Attributes:
        checks: Checks in the order made; none follows one that did not pass.
        score: Error of the stable track on the golden set.
        reference: Traffic of the stable track.
    """

    checks: Sequence[Check]
    score: Score | None = None
    reference: Traffic | None = None

    @property
    def outcome(self) -> Outcome:
        """FAILED if a check failed, else UNKNOWN if one is unknown, else PASSED."""
        outcomes = {check.outcome for check in self.checks}
        return next((each for each in (Outcome.FAILED, Outcome.UNKNOWN) if each in outcomes), Outcome.PASSED)

    @property
    def lasting(self) -> bool:
        """Whether there is no verdict, and waiting brings none."""
        return self.outcome is Outcome.UNKNOWN and any(check.lasting for check in self.checks)

    @property
    def reason(self) -> str:
        """The checks that did not pass."""
        return "; ".join(f"{each.name}: {each.reason}" for each in self.checks if each.outcome is self.outcome)


@dataclass(frozen=True, slots=True)
class Margins:
    """Limits for the canary relative to the stable track.

    Attributes:
        error_rate: Margin added to stable's share of failed requests, 0 to 1.
        latency: Margin added to stable's 95th percentile, as a fraction of it.
        mae: Margin added to stable's mean absolute error on the golden set, as a fraction of it.
        requests: Number of requests that a track must have answered for a verdict.
    """

    error_rate: float = 0.01
    latency: float = 0.2
    mae: float = 0.05
    requests: int = 100


@dataclass(frozen=True, slots=True)
class Gate:
    """Checks a canary by the cluster, Prometheus and the canary's own answers.

    Attributes:
        cluster: The cluster that runs the release.
        margins: Limits for the canary.
        prometheus: Source of error rate and latency; None to leave them out.
        golden: The golden set; None to leave it out.
        url: URL of the service, for the golden set.
        settle_seconds: Time between a change of the weight and the measurement: at least a scrape interval of
            Prometheus, or requests before the change are counted with those after it.
        token: Bearer token for the service.
        ca_file: Certificates of authorities to trust besides the usual ones, for the service.
    """

    cluster: Cluster
    margins: Margins
    prometheus: Prometheus | None
    golden: GoldenSet | None
    url: str
    settle_seconds: float = 30.0
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def close(self) -> None:
        """Close the connections."""
        if self.prometheus:
            self.prometheus.close()

    def ask(self, release: Release, *, with_golden: bool = True) -> Verdict:
        """Make every check, cheap ones first; the golden set last, and only if all others passed.

        The photos of the golden set are requests to the canary as well. They come after one measurement, and the
        weight changes between them and the next, so that neither counts them.
        """
        checks = [self.versions(release), self.readiness(release)]
        reference, score = release.record.reference, release.record.score
        obstacle = self._obstacle(release) if checks[0].outcome is Outcome.PASSED else None
        if _all_passed(checks):
            answers, reference = self.answers(release)
            checks += answers
        if obstacle:
            checks += [] if Verdict(checks).outcome is Outcome.FAILED else [obstacle]
        elif with_golden and _all_passed(checks):
            check, score = self.accuracy(release)
            checks.append(check)
        return Verdict(checks, score, reference)

    def versions(self, release: Release) -> Check:
        """Whether both tracks still run the versions that the rollout began with."""
        record = release.record
        for track, was, runs in (
            (CANARY, record.canary, release.canary_version),
            (STABLE, record.stable, release.stable_version),
        ):
            if was != runs:
                reason = f"{track} is set to run {runs}, the rollout began with {was}; start a new one"
                # Without traffic, `start` may still be running: it writes the canary's version after the record.
                outcome = Outcome.UNKNOWN if release.weight == 0 and track == CANARY else Outcome.FAILED
                lasting = (now() - record.begin).total_seconds() > START_SECONDS
                return Check("versions", outcome, reason, outcome is Outcome.UNKNOWN and lasting)
        return Check("versions", Outcome.PASSED, f"canary {record.canary}, stable {record.stable}")

    def readiness(self, release: Release) -> Check:
        """Whether the canary is ready; one without traffic may still be starting."""
        reason = unready(self.cluster, release.canary)
        if reason is None:
            return Check("readiness", Outcome.PASSED, "canary ready")
        return Check("readiness", Outcome.UNKNOWN if release.weight == 0 else Outcome.FAILED, reason)

    def answers(self, release: Release) -> tuple[list[Check], Traffic | None]:
        """Checks of error rate and latency since the weight was set, and the stable track's traffic."""
        if self.prometheus is None or release.weight == 0:
            why = "not asked for" if self.prometheus is None else "the canary has no traffic yet"
            return [Check(name, Outcome.LEFT_OUT, why) for name in ("errors", "latency")], release.record.reference
        begin, end = release.record.begin + timedelta(seconds=self.settle_seconds), now()
        if end <= begin:
            reason = f"measured from {self.settle_seconds:g} s after the weight was set"
            return [Check("errors", Outcome.UNKNOWN, reason)], release.record.reference
        try:
            canary = self.prometheus.traffic(release.pods(CANARY), begin, end)
            stable = self.prometheus.traffic(release.pods(STABLE), begin, end)
        except PrometheusSilent as err:
            return [Check("errors", Outcome.UNKNOWN, str(err))], release.record.reference
        earlier = release.record.reference
        if earlier and stable.requests < min(earlier.requests, max(self.margins.requests, REQUESTS_FOR_P95)):
            stable = earlier
        ends = release.weight == 100 and (stable is earlier or not stable.requests)
        tracks = [(CANARY, canary), (STABLE, stable)]
        for track, traffic in reversed(tracks) if ends else tracks:
            if traffic.requests < self.margins.requests:
                reason = (
                    f"too little traffic for a verdict: {traffic.requests:,.0f} requests to the {track} in "
                    f"{(end - begin).total_seconds():,.0f} s, {self.margins.requests:,} are needed"
                )
                lasting = ends and track == STABLE
                reason += ", and with 100 % to the canary stable gets none" if lasting else ""
                return [Check("errors", Outcome.UNKNOWN, reason, lasting)], release.record.reference
        return [self._errors(canary, stable), self._latency(canary, stable, ends=ends)], stable

    def accuracy(self, release: Release) -> tuple[Check, Score | None]:
        """Check of the canary's error on the golden set against the stable track's, and the stable track's score."""
        if self.golden is None:
            return Check("golden set", Outcome.LEFT_OUT, "not asked for"), None
        address, obstacle = release.address(CANARY), self._obstacle(release)
        if obstacle or address is None:
            return obstacle or Check("golden set", Outcome.UNKNOWN, _NO_WAY_TO_CANARY), None
        try:
            score = self._stable_score(release, self.golden)
            if score is None:
                return Check("golden set", Outcome.UNKNOWN, "no tag leads to the stable revision alone yet"), None
            canary = self.golden.score(self.url, address, self.token, self.ca_file)
        except GoldenUnreachable as err:
            return Check("golden set", Outcome.UNKNOWN, str(err), err.lasting), None
        except GoldenFailed as err:
            return Check("golden set", Outcome.FAILED, f"the canary did not count {err}"), None
        limit = score.mae * (1 + self.margins.mae)
        reason = (
            f"MAE {canary.mae:.2f} on {canary.photos} photos, stable {score.mae:.2f}, at most {limit:.2f} is allowed"
        )
        return Check("golden set", _within(canary.mae, limit), reason), score

    def _obstacle(self, release: Release) -> Check | None:
        """Why the golden set cannot be compared at this share, however long one waits; None if it may be."""
        if self.golden is None:
            return None
        if release.address(CANARY) is None and not release.may_get_address(CANARY):
            return Check("golden set", Outcome.UNKNOWN, _NO_WAY_TO_CANARY, lasting=True)
        known = release.record.score
        if known and known.golden == self.golden.digest:
            return None
        if release.address(STABLE) is None and not release.may_get_address(STABLE):
            which = "with this golden set " if known else ""
            reason = f"the stable track was not measured {which}while it had all the traffic; abort, then start again"
            return Check("golden set", Outcome.UNKNOWN, reason, lasting=True)
        return None

    def _stable_score(self, release: Release, golden: GoldenSet) -> Score | None:
        """The recorded score if it is for this set, else measured if requests can reach the stable track alone."""
        known = release.record.score
        if known and known.golden == golden.digest:
            return known
        address = release.address(STABLE)
        try:
            return golden.score(self.url, address, self.token, self.ca_file) if address else None
        except GoldenFailed as err:
            raise GoldenUnreachable(f"the stable track itself did not count {err}") from err

    def _errors(self, canary: Traffic, stable: Traffic) -> Check:
        limit = stable.error_rate + self.margins.error_rate
        reason = (
            f"{canary.error_rate:.2%} of {canary.requests:,.0f} requests, "
            f"stable {stable.error_rate:.2%} of {stable.requests:,.0f}, at most {limit:.2%} is allowed"
        )
        return Check("errors", _within(canary.error_rate, limit), reason)

    def _latency(self, canary: Traffic, stable: Traffic, *, ends: bool) -> Check:
        """Check of the 95th percentile; it fails only if chance is no explanation.

        Args:
            canary: Traffic of the canary.
            stable: Traffic of the stable track.
            ends: Whether the stable track gets no more traffic.
        """
        tracks, p95 = [(CANARY, canary), (STABLE, stable)], dict[str, float]()
        for track, traffic in reversed(tracks) if ends else tracks:
            count, lasting = traffic.requests, ends and track == STABLE
            if count < REQUESTS_FOR_P95:
                reason = f"{count:,.0f} requests to the {track} are too few for a p95, {REQUESTS_FOR_P95} are needed"
                return Check("latency", Outcome.UNKNOWN, reason, lasting)
            if traffic.p95_seconds is None:
                return Check("latency", Outcome.UNKNOWN, f"Prometheus has no latency of the {track}", lasting)
            p95[track] = traffic.p95_seconds
        least = (canary.p95_bounds_seconds or (p95[CANARY],))[0]
        most = (stable.p95_bounds_seconds or (p95[STABLE],))[-1]
        factor = 1 + self.margins.latency
        limit = p95[STABLE] * factor
        reason = f"p95 {p95[CANARY]:.3f} s, stable {p95[STABLE]:.3f} s, at most {limit:.3f} s is allowed"
        outcome = _within(p95[CANARY], limit)
        if outcome is Outcome.FAILED and _within(least, most * factor) is Outcome.PASSED:
            by_chance = "which so few requests may show by chance"
            return Check("latency", Outcome.UNKNOWN, f"{reason}; it is over that, {by_chance}")
        return Check("latency", outcome, reason)


def _within(value: float, limit: float) -> Outcome:
    """Whether a value is within a limit, to nine digits: a sum such as 0.01 + 0.09 is a little under 0.1."""
    return Outcome.PASSED if value <= limit * (1 + 1e-9) else Outcome.FAILED


def _all_passed(checks: Sequence[Check]) -> bool:
    return Verdict(checks).outcome is Outcome.PASSED
