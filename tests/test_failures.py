"""Errors in words: of everything that a network or a system may say, and with nothing of its own text."""

import errno
import os
import re
import socket
import ssl

import httpx
import pytest

from crowdserve.failures import in_words, status_in_words

SECRET = "rtsp://user:hush@host/path"


def raised(cause: BaseException, err: Exception) -> Exception:
    err.__cause__ = cause
    return err


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_number_of_the_system_has_words(number: int) -> None:
    text = in_words(OSError(number, SECRET, SECRET), "the camera")
    assert "camera" in text or "machine" in text
    assert not re.search(r"errno|\d|hush|\{", text, re.IGNORECASE)


def test_what_led_to_an_error_says_more_than_itself() -> None:
    refused = raised(OSError(errno.ECONNREFUSED, "x"), httpx.ConnectError("[Errno 111]"))
    assert in_words(refused, "the camera") == "the camera refuses the connection, as nothing listens at that port"
    slow = raised(TimeoutError("timed out"), httpx.ReadTimeout("timed out"))
    assert in_words(slow) == "it has been silent for too long"
    assert in_words(raised(TimeoutError(), httpx.ConnectTimeout(""))) == "it does not answer"
    unknown = raised(socket.gaierror(socket.EAI_NONAME, "x"), httpx.ConnectError("x"))
    assert in_words(unknown, "the camera") == "the camera's name is not known here"
    assert in_words(socket.gaierror(socket.EAI_AGAIN, "x")) == "no name server answers"


def test_certificates_are_of_what_was_to_be_reached() -> None:
    expired = ssl.SSLCertVerificationError("x")
    expired.verify_code, expired.verify_message = 10, "certificate has expired"
    assert in_words(raised(expired, httpx.ConnectError("x")), "the camera").startswith("the camera's certificate is")
    assert in_words(expired).startswith("its certificate is")


KINDS = [
    kind
    for name in httpx.__all__
    if isinstance(kind := getattr(httpx, name), type) and issubclass(kind, httpx.TransportError)
]


@pytest.mark.parametrize("kind", [*KINDS, httpx.InvalidURL, httpx.DecodingError, httpx.TooManyRedirects])
def test_every_error_of_http_has_words(kind: type[Exception]) -> None:
    text = in_words(kind(SECRET), "the camera")
    assert "camera" in text
    assert "hush" not in text


@pytest.mark.parametrize(
    "err", [ValueError(SECRET), Exception(), MemoryError(), UnicodeDecodeError("utf-8", b"", 0, 1, "x")]
)
def test_others_have_words_too(err: Exception) -> None:
    assert in_words(err).endswith(("cannot be read", "no memory left", "no text in UTF-8"))


@pytest.mark.parametrize("status", [*range(300, 600), 999])
def test_every_status_has_words(status: int) -> None:
    text = status_in_words(status, "the camera")
    assert text.startswith("the camera ")
    assert text.endswith(f"(HTTP {status})")


def test_files() -> None:
    with pytest.raises(FileNotFoundError) as missing:
        os.stat("/nowhere")
    assert in_words(missing.value, "the file") == "the file does not exist"
