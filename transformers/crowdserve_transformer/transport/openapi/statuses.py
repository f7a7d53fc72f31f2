"""The statuses of errors over REST, and when they occur: those of exceptions, of HTTP, and of connections."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crowdserve.errors import (
    CrowdServeError,
    DeadlineExceeded,
    ImageTooLarge,
    InvalidRequest,
    Overloaded,
    SetupError,
)
from crowdserve.pages.error_tree import error_classes, meaning
from crowdserve.protocol.headers import POD_HEADER
from crowdserve_transformer.transport.openapi.schemas import Schema, ref

NOT_FOUND, METHOD_NOT_ALLOWED = 404, 405

ANSWER_HEADERS: Mapping[str, Any] = {
    "x-request-id": {"$ref": "#/components/headers/RequestId"},
    POD_HEADER: {"$ref": "#/components/headers/Pod"},
}
"""Headers of every answer of an endpoint."""


@dataclass(frozen=True, slots=True)
class Status:
    """A status that no exception of `crowdserve.errors` stands for.

    Attributes:
        grpc_code: The gRPC code of the same case; empty if there is none.
        when: When it occurs.
    """

    grpc_code: str
    when: str


OF_HTTP: Mapping[int, Status] = {
    NOT_FOUND: Status("NOT_FOUND", "The URL names another model or version."),
    METHOD_NOT_ALLOWED: Status(
        "UNIMPLEMENTED", "The path has no such method; the header `Allow` lists those that it has."
    ),
    500: Status("INTERNAL", "The service failed on this request; its log tells why, under the request id."),
}
"""Statuses of requests that were read."""

OF_CONNECTIONS: Mapping[int, Status] = {
    408: Status("", "The headers took too long to come."),
    414: Status("", "The URL is too long."),
    429: Status("", "The client sends too many requests in advance of their answers."),
    431: Status("RESOURCE_EXHAUSTED", "The request has too many headers, or they are too long."),
    503: Status("UNAVAILABLE", "There are too many connections, or the service is stopping."),
}
"""Statuses that any request can have before its endpoint is asked; their answers have no request id."""


def of_requests() -> dict[int, str]:
    """The statuses with which an inference request can fail, and when: one line for each exception that has it."""
    reasons: dict[int, list[str]] = {}
    for error in request_errors():
        reasons.setdefault(error.http_status, []).append(meaning(error))
    for status in (NOT_FOUND, 500):
        reasons.setdefault(status, []).append(OF_HTTP[status].when)
    return {status: "\n\n".join(reasons[status]) for status in sorted(reasons)}


def of_bodies() -> dict[int, str]:
    """The statuses with which a request fails whose body is read and nothing else."""
    errors = (InvalidRequest, ImageTooLarge, DeadlineExceeded, Overloaded)
    return {error.http_status: meaning(error) for error in errors}


def request_errors() -> list[type[CrowdServeError]]:
    """The exceptions that a request can end with; a caller never sees a `SetupError`."""
    found = (error for error, _ in error_classes())
    return [error for error in found if error is not CrowdServeError and not issubclass(error, SetupError)]


def asks_to_retry(status: int) -> bool:
    """Whether each answer of a status says in `Retry-After` after how many seconds the request may be sent again."""
    return status in {error.http_status for error in request_errors() if error.retry_after_seconds is not None}


def error_responses(errors: Mapping[int, str]) -> dict[str, Any]:
    """The OpenAPI responses of an operation's own errors, by status and reason, and of those of connections."""
    found = {}
    for status in sorted({*errors, *OF_CONNECTIONS}):
        reasons = [errors.get(status), OF_CONNECTIONS[status].when if status in OF_CONNECTIONS else None]
        found[str(status)] = error_response(status, "\n\n".join(filter(None, reasons)), ref("Error"))
    return found


def error_response(status: int, when: str, schema: Schema) -> dict[str, Any]:
    """The OpenAPI response of one status."""
    headers: dict[str, Any] = {} if status in OF_CONNECTIONS else dict(ANSWER_HEADERS)
    if asks_to_retry(status):
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    return {"description": when, "headers": headers, "content": {"application/json": {"schema": schema}}}


def reasons_of(statuses: Iterable[int]) -> dict[int, str]:
    """When some statuses of HTTP occur."""
    return {status: OF_HTTP[status].when for status in statuses}
