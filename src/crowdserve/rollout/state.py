"""The record of a rollout: one annotation, on every route, or on the ServingRuntime in Knative mode."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from crowdserve.rollout.errors import RolloutRefused
from crowdserve.rollout.resources import RECORD_ANNOTATION, Object, annotations

IDLE, RUNNING, PROMOTING, REVERTING = "idle", "running", "promoting", "reverting"
PROMOTED, ABORTED = "promoted", "aborted"
UNDER_WAY = frozenset({RUNNING, PROMOTING, REVERTING})


@dataclass(frozen=True, slots=True)
class Version:
    """Version of a track.

    Attributes:
        storage_uri: Address of its models.
        image: Image of its transformer.
        digest: Digest that its models must have; None if they are not pinned.
    """

    storage_uri: str | None = None
    image: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.storage_uri, self.digest, self.image))) or "no version"

    def agrees(self, other: "Version") -> bool:
        """Whether the parts that both name are equal."""
        pairs = (self.storage_uri, other.storage_uri), (self.image, other.image), (self.digest, other.digest)
        return all(None in pair or pair[0] == pair[1] for pair in pairs)


@dataclass(frozen=True, slots=True)
class Traffic:
    """A track's answers to its share of the requests.

    Attributes:
        requests: Number of requests answered.
        errors: Number of requests answered with a 5xx status.
        p95_seconds: 95th percentile of the time from a whole request to its answer; None if there was none.
        p95_bounds_seconds: Bounds that the track's true 95th percentile is over, and under, with 95 % confidence each;
            None if the requests are too few to tell.
    """

    requests: float
    errors: float
    p95_seconds: float | None
    p95_bounds_seconds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """JSON has no tuples."""
        if self.p95_bounds_seconds is not None:
            low, high = self.p95_bounds_seconds
            object.__setattr__(self, "p95_bounds_seconds", (float(low), float(high)))

    @property
    def error_rate(self) -> float:
        """Share of the requests that failed, 0 to 1."""
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """The error of a track on a golden set.

    Attributes:
        golden: Digest of the golden set.
        photos: Number of photos in the set.
        mae: Mean absolute error, people per photo.
    """

    golden: str
    photos: int
    mae: float


@dataclass(frozen=True, slots=True)
class Record:
    """State of a rollout, apart from the weight, which the route holds.

    Attributes:
        phase: idle, running, promoting, reverting, promoted or aborted.
        since: Time when the weight was last set, ISO 8601 in UTC; measurements begin there.
        stable: Version of the stable track at the start.
        canary: Version that is rolled out.
        score: The stable track's error on the golden set, measured while it had all the traffic.
        reference: The stable track's answers when it last had enough traffic for a verdict.
        reason: Why the rollout was aborted.
    """

    phase: str = IDLE
    since: str = ""
    stable: Version = field(default_factory=Version)
    canary: Version = field(default_factory=Version)
    score: Score | None = None
    reference: Traffic | None = None
    reason: str = ""

    @property
    def under_way(self) -> bool:
        """Whether the rollout has begun and not ended."""
        return self.phase in UNDER_WAY

    @property
    def begin(self) -> datetime:
        """Time when the weight was last set."""
        return datetime.fromisoformat(self.since)

    def text(self) -> str:
        """The annotation's value; `parse_record` reads it."""
        values = {name: value for name, value in asdict(self).items() if value}
        for version in (values.get("stable", {}), values.get("canary", {})):
            if version.get("digest", "") is None:
                del version["digest"]  # commands of 0.2.0 know of none
        return json.dumps(values, sort_keys=True)


def parse_record(found: Object) -> Record:
    """The record on an object; an idle one if it has none.

    Raises:
        RolloutRefused: If the annotation is not one that a rollout wrote.
    """
    text = annotations(found).get(RECORD_ANNOTATION)
    if text is None:
        return Record()
    try:
        values: dict[str, Any] = json.loads(text)
        parts = {"stable": Version, "canary": Version, "score": Score, "reference": Traffic}
        record = Record(
            **{name: parts.get(name, str)(**value) if name in parts else value for name, value in values.items()}
        )
        datetime.fromisoformat(record.since)  # fail here, not at a later use
    except (ValueError, TypeError, AttributeError) as err:
        name = f"{found['kind']} {found['metadata']['name']}" if "kind" in found else found["metadata"]["name"]
        raise RolloutRefused(
            f"{name}: annotation {RECORD_ANNOTATION} is not a record of a rollout: {text!r}; "
            f"remove it (kubectl annotate … {RECORD_ANNOTATION}-) to start over"
        ) from err
    return record


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def stamp() -> str:
    """`now` as a record holds it."""
    return now().isoformat(timespec="microseconds")
