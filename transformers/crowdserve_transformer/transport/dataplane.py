"""The SDK's data plane with true readiness and metadata, and the one path of every request."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kserve import InferRequest, InferResponse, ModelRepository
from kserve.errors import ModelNotFound
from kserve.protocol.dataplane import DataPlane

import crowdserve
from crowdserve.cards import ROUTE_CHOICES
from crowdserve.errors import quoted
from crowdserve.protocol.tensors import IMAGE, IMAGE_SHAPES, OUTPUTS
from crowdserve_transformer import metrics
from crowdserve_transformer.clocks import Clock
from crowdserve_transformer.counting.parameters import parameter_help
from crowdserve_transformer.model import CrowdModel
from crowdserve_transformer.transport.admission import Admission
from crowdserve_transformer.transport.bodies import Bodies
from crowdserve_transformer.transport.deadlines import Deadline
from crowdserve_transformer.transport.error_responses import http_status
from crowdserve_transformer.transport.model_config import PLATFORM, model_config
from crowdserve_transformer.transport.parsers import Parsers
from crowdserve_transformer.transport.statistics import Statistics

log = logging.getLogger(__name__)

EXTENSIONS = ("binary_tensor_data", "parameters", "model_configuration", "statistics")
"""Extensions of the v2 protocol that are served, by their names in Triton."""

_T = TypeVar("_T")


@dataclass(slots=True)
class Observation:
    """Facts about a request while it is being answered.

    Attributes:
        request_id: Identifier in the log.
        route: The requested route.
        clock: Its time from its last byte to its answer; 0 until that is known.
    """

    request_id: str
    route: str = "unknown"
    clock: Clock = field(default_factory=Clock)

    @property
    def seconds(self) -> float:
        """Time from its last byte to its answer."""
        return self.clock.total_ns / 1e9


class CrowdDataPlane(DataPlane):  # type: ignore[misc]  # the SDK is untyped
    """Serves one `CrowdModel`."""

    def __init__(self, model: CrowdModel) -> None:
        registry = ModelRepository()
        registry.update(model)
        super().__init__(registry)
        self.model = model
        self.admission = Admission(model.settings.max_waiting)
        self.bodies = Bodies(model.budget, model.settings)
        self.parsers = Parsers()
        self.statistics = Statistics()
        self.names = model.settings.model_names
        self.major_version = model.version.partition(".")[0]

    def require(self, name: str, version: str | None = None) -> None:
        """Check that a request names this service's model, by any of its names, in its only version if any.

        Raises:
            ModelNotFound: If it names another model or version.
        """
        if name not in self.names:
            raise ModelNotFound(quoted(name))
        if version not in (None, "", self.model.version, self.major_version):
            raise ModelNotFound(f"{name}, version {quoted(version)} (there is {self.model.version})")

    async def get_model(self, name: str) -> CrowdModel:
        """The model, without the SDK's readiness check: a call to Triton shows whether it is up."""
        self.require(name)
        return self.model

    async def ready(self) -> bool:
        """Whether the service would answer a request now."""
        return await self.model.healthy()

    async def model_ready(self, model_name: str, disable_predictor_health_check: bool = False) -> bool:
        """Whether a model is ready; Triton is included unless the check is disabled.

        Raises:
            ModelNotFound: If there is no such model.
        """
        self.require(model_name)
        return disable_predictor_health_check or await self.model.healthy()

    def metadata(self) -> dict[str, Any]:
        """Name, version and protocol extensions of the service."""
        return {"name": "crowdserve", "version": crowdserve.__version__, "extensions": [*EXTENSIONS]}

    async def model_metadata(self, model_name: str) -> dict[str, Any]:
        """Tensors of the model, and the parameters that a request may have.

        Raises:
            ModelNotFound: If there is no such model.
        """
        self.require(model_name)
        forms = {name: list(shape) for name, shape in IMAGE_SHAPES.items()}
        return {
            "name": model_name,
            "versions": [self.model.version],
            "platform": PLATFORM,
            "inputs": self.model.get_input_types(),
            "outputs": self.model.get_output_types(),
            "parameters": {f"{IMAGE}_forms": forms, **parameter_help(self.model.settings)},
        }

    def config(self, model_name: str) -> dict[str, Any]:
        """The model's configuration in Triton's form.

        Raises:
            ModelNotFound: If there is no such model.
        """
        self.require(model_name)
        return model_config(model_name, self.model.settings)

    def model_statistics(self, model_name: str, version: str | None = None) -> dict[str, Any]:
        """Counts and durations of requests in Triton's form.

        Without a version they are those of the major one: Triton's tools take a model's version for a whole number.

        Raises:
            ModelNotFound: If there is no such model or version.
        """
        self.require(model_name, version)
        return {"model_stats": [self.statistics.described(model_name, version or self.major_version)]}

    async def repository_index(self, *, only_ready: bool = False) -> list[dict[str, str]]:
        """The one model and its state, in Triton's form; none if only ready models are asked for and it is not."""
        state = "READY" if await self.model.healthy() else "UNAVAILABLE"
        if only_ready and state != "READY":
            return []
        return [{"name": self.model.name, "version": self.model.version, "state": state, "reason": ""}]

    @contextmanager
    def observed(self, protocol: str, request_id: str, traffic: str) -> Iterator[Observation]:
        """Count and log one inference request, however it ends.

        Args:
            protocol: Label of the protocol in metrics and log.
            request_id: Identifier in the log.
            traffic: Kind of traffic, by `metrics.traffic_of`.
        """
        seen, status = Observation(request_id), "499"
        metrics.IN_FLIGHT.inc()
        try:
            yield seen
            status = "200"
        except Exception as err:
            status = str(http_status(err))
            raise
        except asyncio.CancelledError:  # by a stop whose grace period is over, or by a gRPC caller
            status = "503" if self.model.draining else "499"
            raise
        finally:
            metrics.IN_FLIGHT.dec()
            metrics.REQUESTS.labels(self.model.name, protocol, seen.route, status, traffic).inc()
            if status == "200":
                self.statistics.add_success(seen.clock)
            else:
                self.statistics.add_failure(seen.seconds)
            if seen.seconds and traffic == metrics.PUBLIC:
                metrics.REQUEST_SECONDS.labels(protocol).observe(seen.seconds)
            log.info("%s %s route=%s %.0f ms id=%r", protocol, status, seen.route, 1000 * seen.seconds, request_id)

    async def answer(
        self,
        seen: Observation,
        headers: Mapping[str, str],
        deadline: Deadline,
        size_bytes: int,
        decode: Callable[[], InferRequest],
        encode: Callable[[InferResponse, InferRequest], _T],
    ) -> _T:
        """Answer one inference request.

        Args:
            seen: The observation that `observed` yields.
            headers: HTTP headers with lower-case names.
            deadline: Time that everything together may take.
            size_bytes: Length of what is to be decoded.
            decode: Bytes to tensors; runs in a thread.
            encode: Tensors to bytes; runs in a thread if there is much to do.

        Raises:
            Exception: The error, for `failure_of`.
        """
        with seen.clock.running(), self.admission:
            async with deadline.kept():
                return await self._answer(seen, headers, size_bytes, decode, encode)

    async def _answer(
        self,
        seen: Observation,
        headers: Mapping[str, str],
        size_bytes: int,
        decode: Callable[[], InferRequest],
        encode: Callable[[InferResponse, InferRequest], _T],
    ) -> _T:
        with metrics.stage("parse"):
            request = await self.parsers.run(size_bytes, decode)
        request.id = request.id or seen.request_id
        seen.route = _route_label(request, self.model.settings.route)
        response, _ = await self.infer(self.model.name, request, dict(headers))
        response.model_name = request.model_name  # the name that the caller uses
        with metrics.stage("encode"):
            return await self._encoded(response, lambda: encode(response, request))

    async def _encoded(self, response: InferResponse, encode: Callable[[], _T]) -> _T:
        """Encode in a thread if there are maps or images; a few numbers are written faster than handed over."""
        if any(OUTPUTS[output.name].optional for output in response.outputs):
            return await self.model.threads.run(encode)
        return encode()


def _route_label(request: InferRequest, default: str) -> str:
    """The route asked for, from a closed set: callers must not be able to invent metric labels."""
    asked = (request.parameters or {}).get("route", default)
    return asked if isinstance(asked, str) and asked in ROUTE_CHOICES else "unknown"
