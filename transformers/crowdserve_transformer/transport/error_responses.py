"""Errors to status, code and message for a caller, the same over REST and gRPC."""

import logging
from dataclasses import dataclass

from kserve.errors import ModelNotFound
from starlette.requests import ClientDisconnect

from crowdserve.errors import CrowdServeError, Overloaded, TritonFailed, UnsupportedEncoding
from crowdserve_transformer.transport.inflation import CODINGS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a caller sees it.

    Attributes:
        http_status: HTTP status.
        grpc_code: Name of a `grpc.StatusCode`.
        message: Text for the caller.
        retry_after_seconds: Time after which the same request may succeed; None if it will not.
        encodings: Content codings that the caller may use instead of the one that was refused.
    """

    http_status: int
    grpc_code: str
    message: str
    retry_after_seconds: float | None = None
    encodings: tuple[str, ...] = ()


def http_status(err: Exception) -> int:
    """The HTTP status of an error; 499, as in nginx, if the caller disconnected."""
    if isinstance(err, ModelNotFound):
        return 404
    if isinstance(err, ClientDisconnect):
        return 499
    if isinstance(err, MemoryError):
        return Overloaded.http_status
    return err.http_status if isinstance(err, CrowdServeError) else 500


def failure_of(err: Exception, request_id: str) -> Failure:
    """The failure reported to the caller; details for an operator go to the log under the request id."""
    if isinstance(err, ModelNotFound):
        return Failure(http_status(err), "NOT_FOUND", str(err))
    if isinstance(err, MemoryError):
        log.error("request %r found no memory", request_id)
        err = Overloaded("the service is out of memory; try again later")
    if isinstance(err, CrowdServeError) and (err.http_status < 500 or err.retry_after_seconds is not None):
        encodings = CODINGS if isinstance(err, UnsupportedEncoding) else ()
        return Failure(err.http_status, err.grpc_code, str(err), err.retry_after_seconds, encodings)
    log.error("request %r failed", request_id, exc_info=err)
    reason = str(err) if isinstance(err, TritonFailed) else "the service failed on this request"
    return Failure(http_status(err), "INTERNAL", f"{reason}; its log tells why, under request id {request_id}")
