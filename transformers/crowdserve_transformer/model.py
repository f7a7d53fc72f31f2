"""The service's one model, as a model of the KServe SDK."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kserve import InferRequest, InferResponse, Model

import crowdserve
from crowdserve.cards import COUNTERS
from crowdserve.errors import CrowdServeError
from crowdserve.protocol.tensors import FILES_IN_A_COLUMN, IMAGE, OUTPUTS
from crowdserve.scene.classifier import SceneClassifier
from crowdserve.triton.client import TritonClient
from crowdserve_transformer.backends.addresses import Resolve, resolve_host
from crowdserve_transformer.backends.backend import Backend
from crowdserve_transformer.backends.pool import TritonPool
from crowdserve_transformer.budget import Budget
from crowdserve_transformer.counting import routing
from crowdserve_transformer.counting.counter import CrowdCounter, ImageCount
from crowdserve_transformer.counting.images import ImageReader
from crowdserve_transformer.counting.passed_on import passed_on
from crowdserve_transformer.counting.request import CountRequest, read_request
from crowdserve_transformer.counting.response import write_response
from crowdserve_transformer.decoding.decoders import Decoders
from crowdserve_transformer.inference.shared_memory import SharedMemory
from crowdserve_transformer.readiness.repository import find_record
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.threads import Threads

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Work:
    """A request on its way through the model, which keeps no state of requests."""

    request: CountRequest
    images: list[ImageCount]


class CrowdModel(Model):  # type: ignore[misc]  # the SDK is untyped
    """Counts people; `preprocess`, `predict` and `postprocess` are called by the SDK for every request.

    Args:
        settings: The operator's settings.
        classifier: The scene classifier.
        resolve: Looks up the addresses of Triton's host.
    """

    def __init__(self, settings: Settings, classifier: SceneClassifier, resolve: Resolve = resolve_host) -> None:
        super().__init__(settings.model_name)
        self.settings = settings
        self.version = crowdserve.__version__
        self.threads = Threads(settings.cpu_threads)
        self.budget = Budget(
            settings.memory_bytes, picture_bytes=settings.memory_bytes * 3 // 4, max_waiting=settings.max_waiting
        )
        self.pool = TritonPool(
            settings.predictor_host,
            lambda address: _backend(settings, classifier, address),
            wait_seconds=settings.ready_timeout_seconds,
            away_seconds=settings.triton_away_seconds,
            resolve=resolve,
        )
        self.decoders = Decoders(
            self.budget,
            processes=settings.cpu_threads,
            max_pixels=settings.max_pixels,
            max_whole_pixels=settings.pixel_limit,
            max_side_px=routing.max_side_px(COUNTERS),
            cpu_seconds=settings.decode_seconds,
        )
        reader = ImageReader(self.decoders, self.budget, self.threads, settings.pixel_limit)
        self.counter = CrowdCounter(self.pool, classifier, reader, self.threads, settings.max_concurrent_pictures)
        self.draining = False
        self.ready = True

    async def start_decoders(self) -> None:
        """Start the decoding processes; without that the first photos start them."""
        await self.decoders.start()

    async def healthy(self) -> bool:
        """Whether a request would be answered now.

        That is so if a Triton and its models are ready, its VGG16 is the scene classifier's and no stop was requested.
        """
        if self.draining:
            return False
        try:
            await self.pool.require_usable()
        except CrowdServeError as err:
            log.info("not ready: %s", err)
            return False
        return True

    async def preprocess(self, payload: InferRequest, headers: Mapping[str, str] | None = None) -> CountRequest:
        """Validate a decoded request."""
        return read_request(payload, self.settings, headers or {})

    async def predict(self, payload: CountRequest, headers: Mapping[str, str] | None = None) -> _Work:
        """Count the people in every image."""
        sent = passed_on(headers or {}, authorization=self.settings.forward_authorization)
        return _Work(payload, await self.counter.count(payload, sent))

    async def postprocess(self, result: _Work, headers: Mapping[str, str] | None = None) -> InferResponse:
        """Turn counts into tensors."""
        return write_response(result.request, result.images, self.name, self.version)

    def validate(self, payload: CountRequest) -> CountRequest:
        """Return the payload; `preprocess` has validated it."""
        return payload

    def get_input_types(self) -> list[dict[str, Any]]:
        """The one input; its other forms are listed among the metadata's parameters."""
        return [{"name": IMAGE, "datatype": "BYTES", "shape": list(FILES_IN_A_COLUMN)}]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Every output that a request can name."""
        return [{"name": o.name, "datatype": o.datatype, "shape": list(o.shape)} for o in OUTPUTS.values()]

    async def close(self) -> None:
        """Release threads, processes and connections."""
        self.threads.close()
        await self.decoders.close()
        await self.pool.close()


def load_classifier(settings: Settings) -> SceneClassifier:
    """Read the selected scene classifier beside the highest version of VGG16 in the repository.

    Raises:
        SetupError: If there is none with that name, or it is not the recorded one.
    """
    return SceneClassifier.load(find_record(settings), allow_pickle=settings.allow_pickle)


def _backend(settings: Settings, classifier: SceneClassifier, address: str | None) -> Backend:
    """The Triton at an IP address of the predictor's host, or at the host itself."""
    client = TritonClient(
        settings.predictor_host,
        timeout_seconds=settings.triton_timeout_seconds,
        ready_timeout_seconds=settings.ready_timeout_seconds,
        use_ssl=settings.predictor_use_ssl,
        connect_to=address,
        memory=_memory(settings) if address is None else None,
    )
    return Backend(client, classifier, settings.ready_timeout_seconds)


def _memory(settings: Settings) -> SharedMemory | None:
    """What is shared with a Triton on the same machine, whose host is numeric: its own address."""
    socket = settings.triton_memory_socket
    return SharedMemory(socket, settings.max_concurrent_pictures) if socket else None
