"""What the commands tell a person: the state of a rollout, and the chart values that belong to it."""

from collections.abc import Iterator

from crowdserve.rollout.cluster import Cluster
from crowdserve.rollout.record import Record
from crowdserve.rollout.release import Release
from crowdserve.rollout.workload import built_from, unready


def status_lines(cluster: Cluster, release: Release) -> Iterator[str]:
    """The state of a rollout, one fact a line."""
    record = release.record
    mode = "Knative" if release.knative else "Standard"
    yield f"release  {release.name} in {release.namespace} ({mode} mode)"
    since = f" since {record.since}" if record.since else ""
    yield f"rollout  {record.phase}{since}{f': {record.reason}' if record.reason else ''}"
    yield f"weight   {release.weight} % of the traffic to the canary"
    if len({(split.weight, split.record) for split in release.splits}) > 1:
        yield "         the routes differ; the next step, promote or abort makes them alike"
    if not release.knative:
        yield f"stable   {release.stable_version}: {unready(cluster, release.stable) or 'ready'}"
    yield f"canary   {release.canary_version}: {unready(cluster, release.canary) or 'ready'}"
    if record.under_way and record.canary != release.canary_version:
        yield f"         the rollout began with {record.canary}"


def start_values(cluster: Cluster, release: Release) -> str:
    """The values that keep `helm upgrade` from undoing `start`."""
    source = built_from(cluster, release.canary) or release.record.canary.storage_uri
    values = ["canary.enabled=true", "canary.trafficPercent=0"]
    values += [f"canary.storageUri={source}"] if source else []
    values += _image("canary.transformer.image", release.record)
    return f"keep it through helm upgrades{_upgrade(release, values)}"


def promoted_values(cluster: Cluster, release: Release) -> str:
    """The values that make a promotion the chart's own state, and free what the canary held."""
    source = built_from(cluster, release.canary) or release.record.canary.storage_uri
    values = [f"storage.uri={source}"] if source else []
    earlier = built_from(cluster, release.stable) or release.record.stable.storage_uri or ""
    if earlier.startswith("pvc://"):
        values.append("storage.existingClaim.name=")  # the chart takes one of the two
    values += _image("transformer.image", release.record)
    return f"make it last and remove the canary{_upgrade(release, [*values, 'canary.enabled=false'])}"


def _image(prefix: str, record: Record) -> list[str]:
    """Values of the canary's image, if it is not stable's; a tag has to clear the digest, which the chart prefers."""
    image = record.canary.image or ""
    if image == record.stable.image:
        return []
    if "@" in image:
        return [f"{prefix}.digest={image.partition('@')[2]}"]
    tag = image.rpartition("/")[2].partition(":")[2]
    return [f"{prefix}.tag={tag}", f"{prefix}.digest="] if tag else []


def _upgrade(release: Release, values: list[str]) -> str:
    """The command; Helm 4 applies on the server, where the fields that a rollout has patched belong to the rollout."""
    chosen = " ".join(f"--set {value}" for value in values)
    command = f"helm upgrade {release.name} CHART --namespace {release.namespace} --reuse-values {chosen}"
    return f" (with Helm 4 add --force-conflicts): {command}"
