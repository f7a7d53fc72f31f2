"""The golden set: labelled photos that each track counts, and its mean absolute error on them."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from crowdserve.client.service import RequestRefused, ServiceClient, without_user
from crowdserve.client.tokens import SERVICE_TOKEN
from crowdserve.datasets import Sample, load_dataset
from crowdserve.errors import CrowdServeError, DatasetError, Overloaded, SetupError
from crowdserve.protocol.headers import POD_HEADER, TRACK_HEADER
from crowdserve.rollout.release import Address
from crowdserve.rollout.state import Score

_OF_A_PROXY = frozenset({502, 503, 504})
"""Statuses by which a proxy says that the server behind it is away, which may be the gateway."""


class GoldenFailed(Exception):
    """A track did not count a photo of the golden set."""


class GoldenUnreachable(Exception):
    """The service's URL does not answer or is busy, or another server answers: no fault of the track.

    Attributes:
        lasting: Whether the next attempt will fail for the same reason.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class TrackClient(ServiceClient):
    """A client whose requests reach only one track.

    Args:
        url: URL of the service.
        address: Address of the track; its own URL takes precedence over `url`.
        token: Bearer token to send.
        ca_file: Certificates of authorities to trust besides the usual ones.
    """

    def __init__(self, url: str, address: Address, token: str | None = None, ca_file: Path | None = None) -> None:
        target = address.url or url
        if token and url.startswith("https://") and not target.startswith("https://"):
            plain, secure = without_user(target), without_user(url)
            raise GoldenUnreachable(
                f"{plain} is not encrypted as {secure} is, so that {SERVICE_TOKEN} is not sent there", lasting=True
            )
        super().__init__(target, model=address.model, token=token, ca_file=ca_file)
        self._pods = address.pods
        self._http.headers.update(address.headers)
        self._http.event_hooks = {"response": [self._check_pod]}

    def _check_pod(self, reply: httpx.Response) -> None:
        """Fail unless the track has answered: a proxy may drop its header, a port-forward bypasses the route."""
        pod = reply.headers.get(POD_HEADER)
        if pod is None and reply.status_code in _OF_A_PROXY:
            raise GoldenUnreachable(f"the service answered {reply.status_code} {reply.reason_phrase}, and no pod did")
        if pod is None and reply.status_code != httpx.codes.OK:
            return  # a gateway's reply for a track that does not answer
        if pod is None:
            raise GoldenUnreachable(
                f"an answer lacks the header {POD_HEADER}, so that its track is unknown: an older "
                "transformer does not send it, or a proxy drops it; let it pass, or use --without golden",
                lasting=True,
            )
        if not re.fullmatch(self._pods, pod):
            raise GoldenUnreachable(
                f"pod {pod} answered, expected one like {self._pods}: name the gateway that the route belongs to in "
                f"--url, and let no proxy drop {TRACK_HEADER}"
            )


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """Labelled photos.

    Attributes:
        samples: The labelled photos.
        digest: Digest that changes with any photo or label.
    """

    samples: Sequence[Sample]
    digest: str

    def score(self, url: str, address: Address, token: str | None = None, ca_file: Path | None = None) -> Score:
        """The error of a track.

        Args:
            url: URL of the service.
            address: Address of the track; its own URL takes precedence over `url`.
            token: Bearer token to send.
            ca_file: Certificates of authorities to trust besides the usual ones.

        Raises:
            GoldenFailed: If the track does not count a photo.
            GoldenUnreachable: If no server answers, the service refuses this caller, or another track answers.
        """
        with TrackClient(url, address, token, ca_file) as client:
            errors = [abs(_count(client, sample) - sample.count) for sample in self.samples]
        return Score(self.digest, len(errors), sum(errors) / len(errors))


def load_golden(folder: Path) -> GoldenSet:
    """The golden set in a folder of any layout that `crowdserve.datasets` knows.

    Raises:
        DatasetError: If the folder holds no data set.
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
        raise GoldenUnreachable(str(err), lasting=isinstance(err, RequestRefused)) from err
    except Overloaded as err:  # by other callers' requests, or a gateway's limit of rates
        raise GoldenUnreachable(f"{sample.image.name}: {err}") from err
    except CrowdServeError as err:
        raise GoldenFailed(f"{sample.image.name}: {err}") from err
