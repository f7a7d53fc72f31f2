"""The weight of the canary, read and changed: in routes, or in Knative's split of revisions."""

from dataclasses import dataclass
from typing import Protocol

from crowdserve.protocol.headers import TRACK_HEADER
from crowdserve.rollout.resources import (
    INFERENCE_SERVICE,
    RECORD_ANNOTATION,
    SERVING_RUNTIME,
    Kind,
    Object,
    Patch,
    patch_of,
    set_annotation,
)
from crowdserve.rollout.state import PROMOTED, Record, Version, parse_record
from crowdserve.rollout.workload import Workload

_PERCENT = "/spec/predictor/canaryTrafficPercent"


class Split(Protocol):
    """An object that divides traffic between stable and canary."""

    @property
    def record(self) -> Record:
        """Record of the rollout on it."""

    @property
    def weight(self) -> int:
        """Share of the canary in percent."""

    def shift(self, weight: int, record: Record) -> Patch | None:
        """The patch that sets weight and record; None if they are set."""


@dataclass(frozen=True, slots=True)
class RouteSplit:
    """A route of the Gateway API with rules that lead to both tracks.

    Attributes:
        kind: HTTPRoute or GRPCRoute.
        found: The route as read.
        stable: Service of the stable track.
        canary: Service of the canary.
    """

    kind: Kind
    found: Object
    stable: str
    canary: str

    @property
    def record(self) -> Record:
        """Record of the rollout on it."""
        return parse_record(self.found)

    @property
    def weight(self) -> int:
        """Share of the canary in percent: the largest, if rules differ."""
        shares = []
        for _, backends in self.rules():
            weights = {name: backend.get("weight", 1) for name, (_, backend) in backends.items()}
            shares.append(round(100 * weights[self.canary] / max(1, sum(weights.values()))))
        return max(shares, default=0)

    @property
    def tester_value(self) -> str | None:
        """Value of the testers' header that leads to the canary only; None if there is no such rule."""
        for rule in self.found["spec"]["rules"]:
            headers = [header for match in rule.get("matches", []) for header in match.get("headers", [])]
            values = [str(each["value"]) for each in headers if each["name"].lower() == TRACK_HEADER]
            if values:
                alone = {each["name"] for each in rule.get("backendRefs", [])} == {self.canary}
                return values[0] if alone else None
        return None

    def rules(self) -> list[tuple[int, dict[str, tuple[int, Object]]]]:
        """Index of each rule that leads to both tracks, with its backends by service: their index and reference."""
        found = []
        for i, rule in enumerate(self.found["spec"].get("rules", [])):
            backends = {each["name"]: (k, each) for k, each in enumerate(rule.get("backendRefs", []))}
            if set(backends) == {self.stable, self.canary}:
                found.append((i, backends))
        return found

    def shift(self, weight: int, record: Record) -> Patch | None:
        """The patch that sets weight and record; None if they are set."""
        operations = []
        for i, backends in self.rules():
            for service, wanted in ((self.stable, 100 - weight), (self.canary, weight)):
                k, backend = backends[service]
                if backend.get("weight") != wanted:
                    path = f"/spec/rules/{i}/backendRefs/{k}/weight"
                    operations.append(
                        {"op": "replace" if "weight" in backend else "add", "path": path, "value": wanted}
                    )
        if record != self.record:
            operations += set_annotation(self.found, RECORD_ANNOTATION, record.text())
        return patch_of(self.kind, self.found, operations) if operations else None


@dataclass(frozen=True, slots=True)
class RevisionSplit:
    """An InferenceService in Knative mode, which divides traffic between its last two revisions.

    Attributes:
        workload: The InferenceService.
        runtime: Its ServingRuntime, which holds the record: on the InferenceService it would make a new revision.
    """

    workload: Workload
    runtime: Object

    @property
    def record(self) -> Record:
        """Record of the rollout."""
        return parse_record(self.runtime)

    @property
    def weight(self) -> int:
        """Share of the canary in percent; without a split there is no canary."""
        return int(self._percent or 0)

    @property
    def divided(self) -> bool:
        """Whether there is a split: without one the newest revision has all traffic."""
        return self._percent is not None

    @property
    def _percent(self) -> int | None:
        percent: int | None = self.workload.found["spec"]["predictor"].get("canaryTrafficPercent")
        return percent

    def shift(self, weight: int, record: Record, version: Version | None = None) -> Patch | None:
        """The next patch that sets record, weight and version of the newest revision; None if they are set.

        A promoted rollout has no split any more: KServe then gives the newest revision all traffic.
        """
        if record != self.record:
            return patch_of(
                SERVING_RUNTIME, self.runtime, set_annotation(self.runtime, RECORD_ANNOTATION, record.text())
            )
        operations = self.workload.change(version or Version())
        wanted = None if record.phase == PROMOTED else weight
        if wanted is None and self.divided:
            operations.append({"op": "remove", "path": _PERCENT})
        elif wanted is not None and self._percent != wanted:
            operations.append({"op": "add", "path": _PERCENT, "value": wanted})
        return patch_of(INFERENCE_SERVICE, self.workload.found, operations) if operations else None
