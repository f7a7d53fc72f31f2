"""A release of the chart with its canary, as the cluster has it at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass

from crowdserve.protocol.headers import TRACK_HEADER
from crowdserve.rollout.cluster import Cluster
from crowdserve.rollout.errors import RolloutRefused
from crowdserve.rollout.resources import (
    CANARY,
    GRPC_ROUTE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    RELEASE_LABEL,
    STABLE,
    TRACK_LABEL,
    Object,
    annotations,
)
from crowdserve.rollout.state import IDLE, PROMOTED, PROMOTING, REVERTING, Record, Version
from crowdserve.rollout.traffic import RevisionSplit, RouteSplit, Split
from crowdserve.rollout.workload import Workload, serving_runtime

_TAGS = "serving.kserve.io/enable-tag-routing"
"""Annotation by which KServe gives the newest revision a URL of its own."""


@dataclass(frozen=True, slots=True)
class Address:
    """Address at which only one track answers.

    Attributes:
        url: URL of the track; None for the URL that every caller uses.
        headers: Headers to send with each request.
        model: Name of the model at that URL.
        pods: Regular expression of the names of the pods that answer there.
    """

    url: str | None
    headers: dict[str, str]
    model: str
    pods: str


@dataclass(frozen=True, slots=True)
class Release:
    """A release with a canary.

    Attributes:
        name: Name of the Helm release.
        namespace: Namespace of the Helm release.
        stable: The InferenceService that users had before.
        canary: The InferenceService that is rolled out; the same one in Knative mode.
        splits: Objects that divide the traffic, the decisive one first.
    """

    name: str
    namespace: str
    stable: Workload
    canary: Workload
    splits: Sequence[Split]

    @property
    def knative(self) -> bool:
        """Whether both tracks are revisions of one InferenceService."""
        return self.stable.knative

    @property
    def weight(self) -> int:
        """Share of the canary in percent."""
        return self.splits[0].weight

    @property
    def record(self) -> Record:
        """State of the rollout."""
        return self.splits[0].record

    @property
    def stable_version(self) -> Version:
        """Version of the stable track; in Knative mode the one at the begin of the rollout."""
        return self.record.stable if self.knative else self.stable.version

    @property
    def canary_version(self) -> Version:
        """Version that the canary is set to run."""
        return self.canary.version

    @property
    def newest(self) -> str:
        """In Knative mode the track of the newest revision: stable without a split, which gives it all traffic."""
        undivided = isinstance(self.splits[0], RevisionSplit) and not self.splits[0].divided
        return STABLE if undivided else CANARY

    @property
    def departures(self) -> list[str]:
        """What runs otherwise than the record says: changed since by Helm or by hand."""
        record, found = self.record, []
        if record.phase == IDLE:
            return [f"the canary has {self.weight} % of the traffic without a rollout"] if self.weight else []
        if self.weight and not record.under_way:
            found.append(f"the canary has {self.weight} % of the traffic, although the rollout has ended")
        left = {STABLE: [record.canary if record.phase == PROMOTED else record.stable], CANARY: [record.canary]}
        if record.phase in {PROMOTING, REVERTING}:
            left[STABLE].append(record.canary)
        runs = {STABLE: self.stable_version, CANARY: self.canary_version}
        for track, version in ({self.newest: self.canary_version} if self.knative else runs).items():
            if not any(each.agrees(version) for each in left[track]):
                found.append(f"{track} now is set to run {version}, not {left[track][-1]} as the rollout did")
        return found

    def pods(self, track: str) -> str:
        """Regular expression of the names of a track's pods that answer requests."""
        if not self.knative:
            return (self.canary if track == CANARY else self.stable).pods
        return f"{self._revision(track)}-deployment-[a-z0-9]+(-[a-z0-9]+)?"

    def address(self, track: str) -> Address | None:
        """Address of one track alone, under the name that callers use; None if no route leads there now.

        The header also says that these are a tester's requests, where it has no part in the route.
        """
        model, pods = self.stable.model, self.pods(track)
        if self.knative:
            url = self._target(track).get("url")
            return Address(url, {TRACK_HEADER: track}, model, pods) if url else None
        if track == CANARY:
            decisive = self.splits[0]
            value = decisive.tester_value if isinstance(decisive, RouteSplit) else None
            return Address(None, {TRACK_HEADER: value}, model, pods) if value else None
        return Address(None, {TRACK_HEADER: track}, model, pods) if self.weight == 0 else None

    def may_get_address(self, track: str) -> bool:
        """Whether an address of one track alone may come by waiting: in Knative mode once KServe has set the tags."""
        if not self.knative:
            return False
        divided = isinstance(self.splits[0], RevisionSplit) and self.splits[0].divided
        return divided and (track == STABLE or annotations(self.stable.found).get(_TAGS) == "true")

    def _target(self, track: str) -> Object:
        targets = self.stable.found.get("status", {}).get("components", {}).get("predictor", {}).get("traffic", [])
        return next((each for each in targets if bool(each.get("latestRevision")) == (track == CANARY)), {})

    def _revision(self, track: str) -> str:
        predictor = self.stable.found.get("status", {}).get("components", {}).get("predictor", {})
        named = "latestReadyRevision" if track == CANARY else "latestRolledoutRevision"
        return str(self._target(track).get("revisionName") or predictor.get(named, "none"))


def read_release(cluster: Cluster, name: str) -> Release:
    """The release as it is now.

    Raises:
        RolloutRefused: If the release does not exist or has no canary.
    """
    services = [Workload(each) for each in cluster.list(INFERENCE_SERVICE, f"{RELEASE_LABEL}={name}")]
    stable = _track(services, STABLE)
    if stable is None:
        raise RolloutRefused(
            f"namespace {cluster.namespace} has no crowdserve release {name!r}; "
            f"`helm list --namespace {cluster.namespace}` shows what it has"
        )
    if stable.knative:
        if stable.found["spec"].get("transformer"):
            raise RolloutRefused(
                f"{stable.name}: in Knative mode KServe splits transformer and predictor apart, so that halves of the "
                "two versions mix; use the collocated transformer or Standard mode"
            )
        return Release(name, cluster.namespace, stable, stable, [RevisionSplit(stable, _runtime(cluster, stable))])
    canary = _track(services, CANARY)
    splits = [] if canary is None else _routes(cluster, name, stable, canary)
    if canary is None or not splits:
        missing = "canary" if canary is None else "HTTPRoute that leads to both stable and canary"
        raise RolloutRefused(
            f"release {name!r} has no {missing}; add it with: "
            f"helm upgrade {name} CHART --namespace {cluster.namespace} --reuse-values "
            "--set canary.enabled=true --set canary.trafficPercent=0 --set canary.headerValue=$(openssl rand -hex 16)"
        )
    return Release(name, cluster.namespace, stable, canary, splits)


def _track(services: list[Workload], track: str) -> Workload | None:
    found = [each for each in services if each.found["metadata"]["labels"].get(TRACK_LABEL) == track]
    if len(found) > 1:
        raise RolloutRefused(
            f"{len(found)} InferenceServices are labelled {TRACK_LABEL}={track}: "
            f"{', '.join(each.name for each in found)}; a release has one"
        )
    return found[0] if found else None


def _runtime(cluster: Cluster, workload: Workload) -> Object:
    found = serving_runtime(cluster, workload)
    if found is None:
        raise RolloutRefused(f"{workload.name} names no ServingRuntime of its namespace, which would hold the record")
    return found


def _routes(cluster: Cluster, release: str, stable: Workload, canary: Workload) -> list[RouteSplit]:
    """Routes that lead to both tracks; the one with the name of the release's service comes first."""
    selector = f"{RELEASE_LABEL}={release}"
    routes = [
        RouteSplit(kind, found, stable.front, canary.front)
        for kind in (HTTP_ROUTE, GRPC_ROUTE)
        for found in cluster.list(kind, selector)
    ]
    return sorted((each for each in routes if each.rules()), key=lambda each: _order(each, stable.name))


def _order(route: RouteSplit, first: str) -> tuple[bool, bool, str]:
    name = route.found["metadata"]["name"]
    return route.kind is not HTTP_ROUTE, name != first, name
