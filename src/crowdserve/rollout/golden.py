"""The golden set: labelled photos that each track counts, and its mean absolute error on them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crowdserve.datasets import Sample, load_dataset
from crowdserve.errors import CrowdServeError, DatasetError, SetupError
from crowdserve.rollout.record import Score
from crowdserve.rollout.release import Address
from crowdserve.service_client import ServiceClient
from crowdserve.tokens import SERVICE_TOKEN


class GoldenFailed(Exception):
    """A track did not count a photo of the golden set."""


class GoldenUnreachable(Exception):
    """Nobody answers at the service's URL, so that the track cannot be blamed."""


class TrackClient(ServiceClient):
    """A client whose requests reach one track alone.

    Args:
        url: Of the service.
        address: Of the track; its own URL goes before `url`.
        token: Sent as bearer token.
    """

    def __init__(self, url: str, address: Address, token: str | None = None) -> None:
        target = address.url or url
        if token and url.startswith("https://") and not target.startswith("https://"):
            raise GoldenUnreachable(f"{target} is not encrypted as {url} is, so that {SERVICE_TOKEN} is not sent there")
        super().__init__(target, model=address.model, token=token)
        self._http.headers.update(address.headers)


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """Labelled photos.

    Attributes:
        samples: The photos.
        digest: Changes with any photo or label.
    """

    samples: Sequence[Sample]
    digest: str

    def score(self, url: str, address: Address, token: str | None = None) -> Score:
        """The error of a track.

        Args:
            url: Of the service.
            address: Of the track; its own URL goes before `url`.
            token: Sent as bearer token.

        Raises:
            GoldenFailed: If the track does not count a photo.
            GoldenUnreachable: If nobody answers, or not to this caller.
        """
        with TrackClient(url, address, token) as client:
            errors = [abs(_count(client, sample) - sample.count) for sample in self.samples]
        return Score(self.digest, len(errors), sum(errors) / len(errors))


def load_golden(folder: Path) -> GoldenSet:
    """The golden set in a folder of any layout that `crowdserve.datasets` knows.

    Raises:
        DatasetError: If there is none.
    """
    try:
        samples = load_dataset(folder)
    except ImportError as err:
        raise DatasetError(f"{folder} has its labels in .mat files, which need SciPy: pip install scipy") from err
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(sample.image.read_bytes())
        digest.update(sample.points.tobytes())
    return GoldenSet(samples, digest.hexdigest()[:16])


def _count(client: ServiceClient, sample: Sample) -> float:
    try:
        return client.count(sample.image.read_bytes()).count
    except SetupError as err:
        raise GoldenUnreachable(str(err)) from err
    except CrowdServeError as err:
        raise GoldenFailed(f"{sample.image.name}: {err}") from err
