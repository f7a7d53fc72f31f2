"""start, step, promote, abort: each reads, decides and patches until the cluster has the wanted state.

A patch holds the resource version that was read. If the server calls it outdated, or no answer comes, the action reads
and decides again, so that two commands at once cannot undo each other: one of them sees what the other did. The record
is written on every route, even where nothing else changes, because the new resource version stops a command that
decided on the old state. An InferenceService holds no record, so a late patch of it may get through; but the command
that sent it reads once more, and takes back a patch that came after an abort.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from crowdserve.rollout.cluster import Cluster
from crowdserve.rollout.errors import AnswerLost, ClusterError, Outdated, RolloutRefused
from crowdserve.rollout.outage import FIRST_PAUSE_SECONDS
from crowdserve.rollout.release import Release, read_release
from crowdserve.rollout.report import aborted_values, upgrade
from crowdserve.rollout.resources import CANARY, DEPLOYMENT, INFERENCE_SERVICE, STABLE, Patch
from crowdserve.rollout.state import (
    ABORTED,
    IDLE,
    PROMOTED,
    PROMOTING,
    REVERTING,
    RUNNING,
    Record,
    Score,
    Traffic,
    Version,
    stamp,
)
from crowdserve.rollout.traffic import RevisionSplit
from crowdserve.rollout.workload import (
    Workload,
    available_replicas,
    built_from,
    compares_digests,
    triton_image,
    unready,
)

WATCH_SECONDS = 10.0
CONFLICTS = 6
Say = Callable[[str], None]


@dataclass(slots=True)
class Actions:
    """The actions on one release.

    Attributes:
        cluster: The cluster that runs the release.
        name: Name of the Helm release.
        say: Function that shows a line to the user.
        ready_seconds: Time limit for a track to become ready.
        last: The release as it was read last; None before.
    """

    cluster: Cluster
    name: str
    say: Say
    ready_seconds: float
    last: Release | None = field(default=None, init=False)

    def read(self) -> Release:
        """The release as it is now."""
        self.last = read_release(self.cluster, self.name)
        return self.last

    def start(self, version: Version) -> Release:
        """Give the canary a version and no traffic.

        Args:
            version: The version; parts that are None stay as the canary has them.

        Raises:
            RolloutRefused: If another rollout is under way, stable runs the version already, only the chart can give
                the canary these models, or their digest is missing.
        """
        before = self.read()
        if version.storage_uri and built_from(self.cluster, before.canary):
            raise RolloutRefused(
                "planBuilder makes the canary's models from canary.storageUri of the values: change it there "
                f"({upgrade(before, {'canary.storageUri': version.storage_uri})}), then start without --storage-uri"
            )
        _require_digest(self.cluster, before, version)
        wanted = _fill_missing(version, before.canary_version)
        _require(not before.record.under_way or before.record.canary == wanted, before, "abort or promote it first")
        if before.record.under_way:
            record, weight = before.record, before.weight  # an earlier start that was cut short
        else:
            record, weight = Record(RUNNING, stamp(), _stable_before(before, wanted), wanted), 0
        self._set_weight_and_record(before, weight, record, version)
        if not before.knative:
            self._deploy(CANARY, wanted, record)
        return self.read()

    def step(
        self, before: Release, weight: int, *, score: Score | None = None, reference: Traffic | None = None
    ) -> None:
        """Set the canary's share.

        Args:
            before: The release as the decision saw it; another command's action since then cancels this one.
            weight: New share of the canary in percent.
            score: Score of the stable track, for the record.
            reference: Traffic of the stable track, for the record.
        """
        _require(before.record.phase == RUNNING, before, "start one first")
        if before.knative and weight == 100:
            raise RolloutRefused("in Knative mode 100 % ends a rollout, without a way back for KServe; use promote")
        known = before.record
        record = replace(known, since=stamp(), score=score or known.score, reference=reference or known.reference)
        self._set_weight_and_record(before, weight, record)
        self.say(f"canary: {before.weight} % -> {weight} % of the traffic")

    def promote(self, before: Release) -> None:
        """Give stable the canary's version while the canary has all traffic, then give stable all traffic.

        Args:
            before: The release as the decision saw it; another command's action since then cancels this one.

        Raises:
            RolloutRefused: If the canary is not ready or too small, or no rollout is under way.
        """
        _require(before.record.phase in {RUNNING, PROMOTING}, before, "start one first")
        reason = unready(self.cluster, before.canary)
        if reason and not self.cluster.dry_run:
            raise RolloutRefused(f"{reason}; promote once it is")
        self._require_same_triton(before)
        self._require_room(before)
        try:
            release = before if before.knative else self._replace_stable(before)
            self._set_weight_and_record(release, 0, replace(release.record, phase=PROMOTED, since=stamp()))
        except RolloutRefused:
            after = self.read().record
            if (after.phase, after.canary) != (PROMOTED, before.record.canary):
                raise  # else another command has promoted the same canary meanwhile
        self.say(f"promoted: stable runs {before.record.canary} and has all traffic")

    def _require_same_triton(self, before: Release) -> None:
        """Refuse another Triton: a promotion copies models and transformer, the chart sets Triton's image."""
        canary, stable = (triton_image(self.cluster, each) for each in (before.canary, before.stable))
        if canary != stable:
            raise RolloutRefused(
                f"the canary has another Triton ({canary}) than stable ({stable}), which promote does not change: "
                "give the canary all traffic with `step --to 100`, change triton.image in the values, then abort"
            )

    def _require_room(self, before: Release) -> None:
        """Refuse a canary with fewer replicas than stable, unless it answers all traffic already."""
        if before.knative or before.record.phase != RUNNING or before.weight == 100:
            return
        canary, stable = (available_replicas(self.cluster, each) for each in (before.canary, before.stable))
        short = [f"{n} {each} replicas against {stable[each]}" for each, n in canary.items() if n < stable[each]]
        if short:
            reason = (
                f"the canary would answer everything while stable takes its version, with {', '.join(short)}: let it "
                "show that it can, with 100 as the last of auto's --steps or with `step --to 100`, then promote"
            )
            if not self.cluster.dry_run:
                raise RolloutRefused(reason)
            self.say(f"would refuse: {reason}")

    def _replace_stable(self, before: Release) -> Release:
        """Let the canary answer everything until every replica of stable has its version."""
        promoting = before.record
        if promoting.phase == RUNNING:
            promoting = replace(promoting, phase=PROMOTING, since=stamp())
        self._set_weight_and_record(before, 100, promoting)
        self.say("all traffic to the canary while stable takes its version")
        self._deploy(STABLE, promoting.canary, promoting)
        return self._await_stable(PROMOTING)

    def abort(self, reason: str) -> None:
        """Return all traffic to stable; during a promotion stable's version goes back first.

        Args:
            reason: Reason for the record.
        """
        before = self.read()
        if before.record.phase in {IDLE, PROMOTED} and not any(split.weight for split in before.splits):
            self.say(f"nothing to abort: the rollout is {describe(before)}")
            return
        if before.record.phase in {PROMOTING, REVERTING}:
            reverting = replace(before.record, phase=REVERTING, reason=reason)
            self._set_weight_and_record(before, before.weight, reverting)
            self.say("stable takes its earlier version back before it gets its traffic back")
            self._deploy(STABLE, reverting.stable, reverting)
            self._await_stable(REVERTING)
        self._force_abort(reason)
        self.say(f"aborted, all traffic to stable: {reason}")
        self.say(aborted_values(before))

    def _force_abort(self, reason: str) -> None:
        """Abort despite other commands' actions, except a promotion, which has to be reverted first."""
        since = stamp()

        def plan(release: Release) -> Patch | None:
            record = release.record
            _require(record.phase != PROMOTING, release, "another command was faster; run abort again")
            if record.phase != ABORTED or release.weight:
                record = replace(record, phase=ABORTED, since=since, reason=reason, reference=None)
            return _next_split_patch(release, 0, record)

        self._converge(plan)

    def _set_weight_and_record(
        self, before: Release, weight: int, record: Record, version: Version | None = None
    ) -> None:
        """Set weight and record everywhere, unless another command has acted since `before` was read."""
        expected = (before.record, before.weight), (record, before.weight), (record, weight)

        def plan(release: Release) -> Patch | None:
            now, wanted = release.record, record
            if (now, release.weight) not in expected:
                if now.phase == ABORTED and release.weight:
                    return _next_split_patch(release, 0, now)  # our patch came after the abort: take it back
                same_action = (now.phase, now.canary, release.weight) == (record.phase, record.canary, weight)
                _require(same_action, release, "another command was faster; nothing more was changed")
                wanted = now
            return _next_split_patch(release, weight, wanted, version)

        self._converge(plan)

    def _deploy(self, track: str, version: Version, record: Record) -> None:
        """Make a track run a version, unless another command has acted since."""

        def plan(release: Release) -> Patch | None:
            if release.record.phase == record.phase:
                return _workload(release, track).run(version)
            back = release.stable.run(release.record.stable) if release.record.phase in {REVERTING, ABORTED} else None
            _require(track == STABLE and back is not None, release, "another command was faster")
            return back  # our patch came after the abort: take it back

        self._converge(plan)

    def _converge(self, plan: Callable[[Release], Patch | None]) -> None:
        """Read, plan and apply one patch after another until none is needed."""
        conflicts = 0
        while patch := plan(self.read()):
            try:
                self.cluster.patch(patch)
                self.say(f"would patch {patch}" if self.cluster.dry_run else f"patched {patch.kind.title} {patch.name}")
                conflicts = 0
            except AnswerLost:
                continue  # the cluster has paused; whether the patch was applied is read
            except Outdated as err:
                conflicts += 1
                if conflicts == CONFLICTS:
                    raise ClusterError(
                        f"{patch.kind.title} {patch.name} could not be patched in {CONFLICTS} attempts "
                        "(it changes all the time); run the same command again"
                    ) from err
                time.sleep(FIRST_PAUSE_SECONDS * 2**conflicts)
        self.cluster.note_applied()

    def _await_stable(self, phase: str) -> Release:
        """The release once every replica of stable is ready; the rollout must stay in its phase."""
        deadline = self.cluster.clock() + self.ready_seconds
        while True:
            release = self.read()
            _require(release.record.phase == phase, release, "another command was faster; nothing more was changed")
            if self.cluster.dry_run:
                self.say("would wait until every replica of stable is ready")
                return release
            reason = unready(self.cluster, release.stable, whole=True)
            if reason is None:
                return release
            left = deadline - self.cluster.clock()
            if left <= 0:
                raise RolloutRefused(
                    f"{reason} after {self.ready_seconds:.0f} s; the canary keeps all traffic: "
                    "run the same command again to go on waiting, or abort to go back"
                )
            self._await_change(release.stable, min(left, WATCH_SECONDS))

    def _await_change(self, workload: Workload, seconds: float) -> None:
        deployment = self.cluster.get(DEPLOYMENT, workload.front)
        if deployment:
            self.cluster.await_change(DEPLOYMENT, deployment, seconds)
        else:
            self.cluster.await_change(INFERENCE_SERVICE, workload.found, seconds)


def describe(release: Release) -> str:
    """State of a rollout in a few words."""
    record = release.record
    reason = f" ({record.reason})" if record.reason else ""
    state = f"{record.phase}{reason}, {release.weight} % of the traffic to the canary"
    return "; but ".join([state, *release.departures])


def _workload(release: Release, track: str) -> Workload:
    return release.canary if track == CANARY else release.stable


def _stable_before(before: Release, wanted: Version) -> Version:
    """Stable's version as a rollout begins; Knative does not keep the version of an earlier revision."""
    split = before.splits[0]
    if isinstance(split, RevisionSplit) and split.divided:
        return before.record.stable
    if wanted == before.stable.version:
        raise RolloutRefused(f"stable already runs {wanted}; give the canary another --storage-uri or --image")
    names = [_repository(version.image) for version in (wanted, before.stable.version)]
    if None not in names and names[0] != names[1]:
        raise RolloutRefused(
            f"the canary's image is of the repository {names[0]}, stable's of {names[1]}, and the chart has one for "
            "both: push it there under a tag of its own"
        )
    return before.stable.version


def _repository(image: str | None) -> str | None:
    """An image's name without tag and digest."""
    if image is None:
        return None
    folder, slash, name = image.partition("@")[0].rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}"


def _next_split_patch(release: Release, weight: int, record: Record, version: Version | None = None) -> Patch | None:
    """The next patch of the objects that divide traffic; None if all are up to date."""
    for split in release.splits:
        extra = {"version": version} if isinstance(split, RevisionSplit) and version else {}
        patch = split.shift(weight, record, **extra)
        if patch:
            return patch
    return None


def _fill_missing(version: Version, other: Version) -> Version:
    """A version whose parts that are None come from another."""
    same_models = version.storage_uri in (None, other.storage_uri)
    digest = version.digest or (other.digest if same_models else None)
    return Version(version.storage_uri or other.storage_uri, version.image or other.image, digest)


def _require_digest(cluster: Cluster, before: Release, version: Version) -> None:
    """Refuse other models without a digest where models are pinned, and a digest that nothing would compare."""
    pinned = before.stable.version.digest or before.canary_version.digest
    moves = version.storage_uri not in (None, before.canary_version.storage_uri)
    if moves and pinned and not version.digest:
        raise RolloutRefused(
            f"the values pin the models of release {before.name!r} by their digest (storage.digest): give that of "
            f"{version.storage_uri} with --digest, as crowdserve bundle build printed it"
        )
    if version.digest and not compares_digests(cluster, before.canary):
        raise RolloutRefused(
            f"release {before.name!r} compares no digest: upgrade its chart, or verifyBundle, first, or leave out "
            "--digest"
        )


def _require(condition: bool, release: Release, remedy: str) -> None:
    if not condition:
        raise RolloutRefused(f"the rollout of {release.name!r} is {describe(release)}; {remedy}")
