"""What a rollout writes down: one annotation, on every route, or on the ServingRuntime in Knative mode."""

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
    """What a track runs.

    Attributes:
        storage_uri: Where its models come from.
        image: Of its transformer.
    """

    storage_uri: str | None = None
    image: str | None = None

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.storage_uri, self.image))) or "no version"


@dataclass(frozen=True, slots=True)
class Traffic:
    """How a track answered its share of the requests.

    Attributes:
        requests: Answered.
        errors: Answered with a 5xx status.
        p95_seconds: 95th percentile of the time from a whole request to its answer; None if there was none.
    """

    requests: float
    errors: float
    p95_seconds: float | None

    @property
    def error_rate(self) -> float:
        """Share of the requests that failed, 0 to 1."""
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """The error of a track on a golden set.

    Attributes:
        golden: Digest of the set.
        photos: In the set.
        mae: Mean absolute error, people a photo.
    """

    golden: str
    photos: int
    mae: float


@dataclass(frozen=True, slots=True)
class Record:
    """State of a rollout, apart from the weight, which is the route's own.

    Attributes:
        phase: idle, running, promoting, reverting, promoted or aborted.
        since: When the weight was last set, ISO 8601 in UTC; what is measured begins there.
        stable: What the stable track ran at the start.
        canary: What is rolled out.
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
        """When the weight was last set."""
        return datetime.fromisoformat(self.since)

    def text(self) -> str:
        """The annotation's value; `parse_record` reads it."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}, sort_keys=True)


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
        datetime.fromisoformat(record.since)  # so that no later use of it can fail
    except (ValueError, TypeError, AttributeError) as err:
        name = f"{found['kind']} {found['metadata']['name']}" if "kind" in found else found["metadata"]["name"]
        raise RolloutRefused(
            f"{name}: annotation {RECORD_ANNOTATION} is no record of a rollout: {text!r}; "
            f"remove it (kubectl annotate … {RECORD_ANNOTATION}-) to begin anew"
        ) from err
    return record


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def stamp() -> str:
    """`now` as a record holds it."""
    return now().isoformat(timespec="microseconds")
