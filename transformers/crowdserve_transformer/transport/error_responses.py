"""What a caller is told when a request fails, the same over REST and gRPC."""

import logging
from dataclasses import dataclass

from kserve.errors import ModelNotFound
from starlette.requests import ClientDisconnect

from crowdserve.errors import CrowdServeError, TritonFailed, TritonUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a caller sees it.

    Attributes:
        grpc_code: Name of a `grpc.StatusCode`.
    """

    http_status: int
    grpc_code: str
    message: str


def http_status(err: Exception) -> int:
    """The HTTP status of an error; 499, as nginx has it, if the caller hung up."""
    if isinstance(err, ModelNotFound):
        return 404
    if isinstance(err, ClientDisconnect):
        return 499
    return err.http_status if isinstance(err, CrowdServeError) else 500


def failure_of(err: Exception, request_id: str) -> Failure:
    """What to tell the caller; what only an operator can act on goes to the log and is found there by the id."""
    if isinstance(err, ModelNotFound):
        return Failure(http_status(err), "NOT_FOUND", str(err))
    if isinstance(err, CrowdServeError) and (err.http_status < 500 or isinstance(err, TritonUnavailable)):
        return Failure(err.http_status, err.grpc_code, str(err))
    log.error("request %r failed", request_id, exc_info=err)
    reason = str(err) if isinstance(err, TritonFailed) else "the service failed on this request"
    return Failure(http_status(err), "INTERNAL", f"{reason}; its log tells why, under request id {request_id}")
