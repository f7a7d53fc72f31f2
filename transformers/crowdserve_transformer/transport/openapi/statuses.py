"""The statuses of errors over REST, and when they occur: those of exceptions, and those of HTTP itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crowdserve.errors import CrowdServeError, SetupError
from crowdserve.pages.error_tree import error_classes, meaning

NOT_FOUND, METHOD_NOT_ALLOWED = 404, 405
WITH_RETRY_AFTER = frozenset({429, 503})
"""Statuses that say in `Retry-After` after how many seconds the same request may be answered."""
ANSWER_HEADERS: Mapping[str, Any] = {
    "x-request-id": {"$ref": "#/components/headers/RequestId"},
    "x-crowdserve-pod": {"$ref": "#/components/headers/Pod"},
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


def of_requests() -> dict[int, str]:
    """The statuses with which an inference request can fail, and when: one line for each exception that has it."""
    reasons: dict[int, list[str]] = {}
    for error in request_errors():
        reasons.setdefault(error.http_status, []).append(meaning(error))
    for status in (NOT_FOUND, 500):
        reasons.setdefault(status, []).append(OF_HTTP[status].when)
    return {status: "\n\n".join(reasons[status]) for status in sorted(reasons)}


def request_errors() -> list[type[CrowdServeError]]:
    """The exceptions that a request can end with; a caller never sees a `SetupError`."""
    found = (error for error, _ in error_classes())
    return [error for error in found if error is not CrowdServeError and not issubclass(error, SetupError)]


def error_responses(statuses: Iterable[int]) -> dict[str, Any]:
    """The OpenAPI responses of some statuses of errors."""
    reasons = {**{status: each.when for status, each in OF_HTTP.items()}, **of_requests()}
    return {str(status): _error_response(status, reasons[status]) for status in sorted(set(statuses))}


def _error_response(status: int, when: str) -> dict[str, Any]:
    headers: dict[str, Any] = dict(ANSWER_HEADERS)
    if status in WITH_RETRY_AFTER:
        headers["Retry-After"] = {
            "description": "After how many seconds the same request may be answered.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        }
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": when, "headers": headers, "content": content}
