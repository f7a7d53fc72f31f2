"""Every error that crowdserve raises on purpose, by step of the data flow.

    bytes ──► image ──► tensor ──► density ──► people
      │          │         │           │
      │          │         │           └─ TritonUnavailable, TritonFailed   the models did not answer, or wrongly
      │          │         └───────────── InvalidRequest                    wrong name, dtype, shape, parameter
      │          └─────────────────────── ImageTooLarge                     over a pixel, side or body limit
      └────────────────────────────────── InvalidImage                      not an image, or a broken one

    CrowdServeError
    ├── InvalidRequest
    │   ├── InvalidImage
    │   ├── ImageTooLarge
    │   ├── UnsupportedMedia   a body of a kind that is not read
    │   │   └── UnsupportedEncoding
    │   └── DeadlineExceeded   the caller's time is over, or its body came too slowly
    ├── Overloaded             the service has more to do than it can take on
    ├── RequestTimedOut        the service's own limit of time is over
    ├── TritonUnavailable
    │   ├── TritonAway
    │   └── TritonLate
    ├── TritonFailed
    │   └── TritonWrong
    └── SetupError             wrong files, flags or machine: seen by an operator, never by a caller
        ├── CardError          a model card contradicts itself
        ├── DatasetError       a data set on disk does not have the expected layout
        ├── WeightsError       a checkpoint is not the expected one
        ├── ParityError        an exported model differs from its framework model
        ├── RepositoryError    a Triton model repository is incomplete or out of date
        ├── BundleError        a bundle's files differ from its manifest, or it cannot be pushed or pulled
        ├── ClassifierError    a scene classifier file is not the recorded one
        ├── CapacityError      a load cannot be planned for
        └── PlatformError      this machine cannot run the embedded Triton

A message says what came, what was expected and what to do. The two codes of each class are what a caller sees over
REST and over gRPC. What a caller sent goes into a message through `quoted`, which bounds it.
"""

import reprlib

_QUOTED_CHARACTERS = 100
_quoting = reprlib.Repr()
_quoting.maxstring = _quoting.maxother = _quoting.maxlong = _QUOTED_CHARACTERS - 10


def quoted(value: object) -> str:
    """A value that a caller sent, for a message or a log line: one line of at most 100 characters."""
    text = _quoting.repr(value)
    return text if len(text) <= _QUOTED_CHARACTERS else f"{text[: _QUOTED_CHARACTERS - 1]}…"


class CrowdServeError(Exception):
    """Root of the tree: catch it to catch everything that crowdserve raises on purpose."""

    http_status = 500
    grpc_code = "INTERNAL"
    retry_after_seconds: float | None = None
    """Time after which the same request may succeed; None if it will not."""


class InvalidRequest(CrowdServeError):
    """The request cannot be answered as it stands: an unknown name, a wrong dtype, shape or parameter."""

    http_status = 400
    grpc_code = "INVALID_ARGUMENT"


class InvalidImage(InvalidRequest):
    """The bytes are not an image that can be decoded whole."""


class ImageTooLarge(InvalidRequest):
    """The image, the batch or the request body is over a limit of this service."""

    http_status = 413


class UnsupportedMedia(InvalidRequest):
    """The request body is of a media type that the service does not read, such as a form."""

    http_status = 415


class UnsupportedEncoding(UnsupportedMedia):
    """The request body is compressed in a way that the service cannot undo."""


class DeadlineExceeded(InvalidRequest):
    """The caller's own time limit is over, or the request body came too slowly."""

    http_status = 408
    grpc_code = "DEADLINE_EXCEEDED"


class Overloaded(CrowdServeError):
    """The service has as much to do as it can take on; the same request may succeed later."""

    http_status = 429
    grpc_code = "RESOURCE_EXHAUSTED"
    retry_after_seconds = 1.0


class RequestTimedOut(CrowdServeError):
    """The request waited or was worked on for as long as this service allows; it may succeed later."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    retry_after_seconds = 1.0


class TritonUnavailable(CrowdServeError):
    """Triton does not answer or its models are not ready; the same request may succeed later."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    retry_after_seconds = 1.0


class TritonAway(TritonUnavailable):
    """Triton is gone, or has not loaded a model that is needed, and no other could be used in time."""


class TritonLate(TritonUnavailable):
    """Triton has not answered within its time, or has not for so long that it is not asked."""


class TritonFailed(CrowdServeError):
    """Triton answered with an error that the request did not cause."""

    http_status = 502


class TritonWrong(TritonFailed):
    """Triton answered with something that the model cannot have computed; the message names model and fault."""


class SetupError(CrowdServeError):
    """Files, flags or the machine are not what a command needs."""


class CardError(SetupError):
    """A model card contradicts itself or another card."""


class DatasetError(SetupError):
    """A data set on disk does not have the layout that its loader expects."""


class WeightsError(SetupError):
    """A checkpoint does not hold the expected weights."""


class ParityError(SetupError):
    """An exported model and its framework model do not agree."""


class RepositoryError(SetupError):
    """A Triton model repository is incomplete, or its generated files are out of date."""


class BundleError(SetupError):
    """A model bundle differs from its manifest, or cannot be brought where it should go."""


class ClassifierError(SetupError):
    """A scene classifier file is not the one that its record describes."""


class CapacityError(SetupError):
    """A load, or a device, that `crowdserve plan` has no answer for."""


class PlatformError(SetupError):
    """This machine cannot run what was asked for."""
