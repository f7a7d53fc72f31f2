"""Output of the commands for people: the state of a rollout, and the chart values that belong to it."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping

from crowdserve.rollout.cluster import Cluster
from crowdserve.rollout.release import Release
from crowdserve.rollout.workload import built_from, unready

Values = Mapping[str, str | int]
"""Values of the chart by their path."""

_NO_CANARY: Values = {
    "canary.enabled": False,
    "canary.storageUri": "",
    "canary.transformer.image.tag": "",
    "canary.transformer.image.digest": "",
    "canary.triton.image.tag": "",
    "canary.triton.image.digest": "",
}
"""Empty values follow stable's; values left by one canary would apply to the next."""

_WITH_HELM_4 = " (with Helm 4 add --force-conflicts)"
"""Helm 4 applies on the server, where the fields that a rollout has patched belong to the rollout."""


def status_lines(cluster: Cluster, release: Release) -> Iterator[str]:
    """The state of a rollout, one fact per line."""
    record = release.record
    mode = "Knative" if release.knative else "Standard"
    yield f"release  {release.name} in {release.namespace} ({mode} mode)"
    since = f" since {record.since}" if record.since else ""
    change = f", {record.canary} in place of {record.stable}" if record.since else ""
    yield f"rollout  {record.phase}{since}{change}{f': {record.reason}' if record.reason else ''}"
    yield f"weight   {release.weight} % of the traffic to the canary"
    if len({(split.weight, split.record) for split in release.splits}) > 1:
        yield "         the routes differ; the next step, promote or abort makes them alike"
    if not release.knative:
        yield f"stable   {release.stable_version}: {unready(cluster, release.stable) or 'ready'}"
    yield f"{release.newest}   {release.canary_version}: {unready(cluster, release.canary) or 'ready'}"
    for departure in release.departures:
        yield f"         {departure}; changed since by Helm or by hand"


def start_values(cluster: Cluster, release: Release) -> str:
    """The command that keeps `helm upgrade` from undoing `start`."""
    canary = release.record.canary
    source = built_from(cluster, release.canary) or canary.storage_uri
    values: dict[str, str | int] = {"canary.enabled": True, "canary.trafficPercent": 0}
    values |= {"canary.storageUri": source} if source else {}
    values |= {"canary.storageDigest": canary.digest} if canary.digest else {}
    values |= _image("canary.transformer.image", None if canary.image == release.record.stable.image else canary.image)
    return f"keep it through helm upgrades{_WITH_HELM_4}: {upgrade(release, values)}"


def promoted_values(cluster: Cluster, release: Release) -> str:
    """The command that makes a promotion the chart's own state and removes the canary."""
    record = release.record
    source = built_from(cluster, release.canary) or record.canary.storage_uri
    values: dict[str, str | int] = {"storage.uri": source} if source else {}
    earlier = built_from(cluster, release.stable) or record.stable.storage_uri or ""
    if earlier.startswith("pvc://"):
        values["storage.existingClaim.name"] = ""  # the chart takes one of the two
    if source and (record.canary.digest or record.stable.digest):
        values["storage.digest"] = record.canary.digest or ""
    if record.canary.image and record.canary.image != record.stable.image:
        values |= _image("transformer.image", record.canary.image)
    return f"make it last and remove the canary{_WITH_HELM_4}: {upgrade(release, {**values, **_no_canary(release)})}"


def aborted_values(release: Release) -> str:
    """The command that frees the GPU of a canary without traffic."""
    return f"remove the canary once you have seen enough of it{_WITH_HELM_4}: {upgrade(release, _no_canary(release))}"


def _no_canary(release: Release) -> Values:
    """Values without a canary; its digest has to go as well, since it would be that of the next one's models."""
    pinned = release.record.canary.digest or release.canary_version.digest
    return {**_NO_CANARY, **({"canary.storageDigest": ""} if pinned else {})}


def upgrade(release: Release, values: Values) -> str:
    """The `helm upgrade` that changes values of the chart and keeps all others."""
    chosen = " ".join(_flag(name, value) for name, value in values.items())
    return f"helm upgrade {release.name} CHART --namespace {release.namespace} --reuse-values {chosen}"


def _image(prefix: str, image: str | None) -> dict[str, str | int]:
    """Tag and digest of an image, both, since the chart prefers a digest; both cleared without an image."""
    name, _, digest = (image or "").partition("@")
    tag = name.rpartition("/")[2].partition(":")[2] or "latest"
    return {f"{prefix}.tag": tag if image and not digest else "", f"{prefix}.digest": digest}


def _flag(name: str, value: str | int) -> str:
    """A value as Helm's flags take it: a tag of digits stays text, and a comma does not begin another value."""
    if not isinstance(value, str):
        return f"--set {name}={json.dumps(value)}"
    escaped = re.sub(r"([\\,])", r"\\\1", value)
    return f"--set-string {shlex.quote(f'{name}={escaped}')}"
