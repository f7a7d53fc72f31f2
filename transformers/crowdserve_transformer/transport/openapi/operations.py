"""What each endpoint takes and answers, by the name of its method in `rest.RestEndpoints`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crowdserve_transformer.counting.parameters import KNOWN
from crowdserve_transformer.transport.openapi import bodies, statuses
from crowdserve_transformer.transport.openapi.schemas import ref

_METRICS = {"description": "The metrics.", "headers": {}, "content": {bodies.TEXT: {"schema": {"type": "string"}}}}
_READY = bodies.answer("Ready.", ref("Ready"))


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint.

    Attributes:
        answer: The response of status 200.
        tag: Heading that it stands under.
        body: The request's body; None if it takes none.
        parameters: Names of the parameters in headers and the query that it reads, among the document's.
        errors: The statuses of its own errors, and when they occur, besides 404 where the path names a model.
        unready: Whether it answers 503 with the body `NotReady`.
    """

    answer: Mapping[str, Any]
    tag: str
    body: Mapping[str, Any] | None = None
    parameters: tuple[str, ...] = ("RequestId",)
    errors: Callable[[], Mapping[int, str]] = field(default=dict)
    unready: bool = False

    def responses(self, names_model: bool) -> dict[str, Any]:
        """Every response of the operation, by status."""
        errors = {**self.errors(), **statuses.reasons_of([statuses.NOT_FOUND] if names_model else [])}
        found = {"200": dict(self.answer), **statuses.error_responses(errors)}
        if self.unready:
            either = {"anyOf": [ref("NotReady"), ref("Error")]}
            when = f"Not ready; try again later.\n\n{statuses.OF_CONNECTIONS[503].when}"
            found["503"] = statuses.error_response(503, when, either)
        return found


OPERATIONS: Mapping[str, Operation] = {
    "infer": Operation(
        bodies.infer_response(),
        "inference",
        body=bodies.infer_request(),
        parameters=("RequestId", "Timeout", "JsonLength", *KNOWN),
        errors=statuses.of_requests,
    ),
    "predict": Operation(
        bodies.predict_response(),
        "inference",
        body=bodies.predict_request(),
        parameters=("RequestId", "Timeout", *KNOWN),
        errors=statuses.of_requests,
    ),
    "live": Operation(bodies.answer("The process answers.", ref("Live")), "health"),
    "ready": Operation(_READY, "health", unready=True),
    "model_ready": Operation(_READY, "health", unready=True),
    "models": Operation(bodies.answer("The names of the models: one.", ref("Models")), "metadata"),
    "server_metadata": Operation(bodies.answer("The service.", ref("Server")), "metadata"),
    "model_metadata": Operation(bodies.answer("The model.", ref("Model")), "metadata"),
    "model_config": Operation(bodies.answer("The configuration.", ref("ModelConfig")), "metadata"),
    "model_statistics": Operation(bodies.answer("The statistics.", ref("Statistics")), "metadata"),
    "statistics": Operation(bodies.answer("The statistics.", ref("Statistics")), "metadata"),
    "repository_index": Operation(
        bodies.answer("The model.", ref("Index")), "metadata", body=bodies.index_request(), errors=statuses.of_bodies
    ),
    "openapi": Operation(bodies.answer("This document.", {"type": "object", "required": ["openapi"]}), "metadata"),
    "docs": Operation(bodies.answer("The page.", {"type": "string"}, bodies.HTML), "metadata"),
    "metrics": Operation(_METRICS, "health", parameters=()),  # where they have no port of their own
}
