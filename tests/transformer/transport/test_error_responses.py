import logging

import pytest
from kserve.errors import ModelNotFound

from crowdserve.errors import (
    ClassifierError,
    ImageTooLarge,
    InvalidImage,
    InvalidRequest,
    TritonFailed,
    TritonUnavailable,
)
from crowdserve_transformer.transport.error_responses import failure_of, http_status

SECRET = "/srv/secret/path.py line 7"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("why"), 400, "INVALID_ARGUMENT"),
        (InvalidImage("why"), 400, "INVALID_ARGUMENT"),
        (ImageTooLarge("why"), 413, "INVALID_ARGUMENT"),
        (TritonUnavailable("why"), 503, "UNAVAILABLE"),
    ],
)
def test_client_errors_keep_their_message(error: Exception, status: int, code: str) -> None:
    failure = failure_of(error, "id")
    assert (failure.http_status, failure.grpc_code, failure.message) == (status, code, "why")
    assert http_status(error) == status


def test_unknown_model_is_not_found() -> None:
    failure = failure_of(ModelNotFound("x"), "id")
    assert (failure.http_status, failure.grpc_code) == (404, "NOT_FOUND")


@pytest.mark.parametrize("error", [RuntimeError(SECRET), KeyError(SECRET), ClassifierError(SECRET), OSError(SECRET)])
def test_internal_errors_stay_in_the_log(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        failure = failure_of(error, "id-7")
    assert (failure.http_status, failure.grpc_code) == (500, "INTERNAL")
    assert SECRET not in failure.message
    assert "id-7" in failure.message
    (record,) = caplog.records
    assert "id-7" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_triton_failure_is_named() -> None:
    failure = failure_of(TritonFailed("Triton could not run vgg16"), "id-7")
    assert (failure.http_status, failure.grpc_code) == (502, "INTERNAL")
    assert failure.message == "Triton could not run vgg16; its log tells why, under request id id-7"
