"""What went wrong with a network, a server, a file or a device, in words that need no knowledge of this program.

Nothing of an error's own text is repeated: it may hold an address with a password, a path, or names of libraries.
"""

import errno
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from socket import EAI_AGAIN, EAI_FAIL, gaierror

import httpx

from crowdserve.certificates import certificate_problem

_UNREACHABLE = "there is no way to {it} from this machine"
_ENDED = "{it} has ended the connection"
_SILENT = "{it} does not answer"
_MAY_NOT = "this program may not open {it}"
_SYSTEM: Mapping[int, str] = {
    errno.ECONNREFUSED: "{it} refuses the connection, as nothing listens at that port",
    errno.ECONNRESET: _ENDED,
    errno.ECONNABORTED: _ENDED,
    errno.EPIPE: _ENDED,
    errno.ENOTCONN: _ENDED,
    errno.ETIMEDOUT: _SILENT,
    errno.EAGAIN: _SILENT,
    errno.EHOSTUNREACH: _UNREACHABLE,
    errno.EHOSTDOWN: _UNREACHABLE,
    errno.ENETUNREACH: _UNREACHABLE,
    errno.ENETDOWN: _UNREACHABLE,
    errno.EADDRNOTAVAIL: _UNREACHABLE,
    errno.EAFNOSUPPORT: _UNREACHABLE,
    errno.EADDRINUSE: "{its} port is taken by another program",
    errno.ENOENT: "{it} does not exist",
    errno.ENOTDIR: "{it} does not exist",
    errno.EISDIR: "{it} is a folder",
    errno.ELOOP: "{its} links lead in a circle",
    errno.ENAMETOOLONG: "{its} name is too long",
    errno.EACCES: _MAY_NOT,
    errno.EPERM: _MAY_NOT,
    errno.EROFS: "{its} disk is read-only",
    errno.EBUSY: "another program uses {it}",
    errno.ENODEV: "{it} is not there any more",
    errno.ENXIO: "{it} is not there any more",
    errno.ENOTTY: "{it} is no device of that kind",
    errno.EINVAL: "{it} does not take what is asked of it",
    errno.EIO: "reading {it} failed",
    errno.ENOSPC: "{its} disk is full",
    errno.EDQUOT: "{its} disk is full",
    errno.EMFILE: "too many files are open on this machine",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENOMEM: "this machine has no memory left",
}
_HTTP: tuple[tuple[type[Exception], str], ...] = (
    (httpx.ConnectTimeout, _SILENT),
    (httpx.PoolTimeout, "too many requests wait for {it}"),
    (httpx.TimeoutException, "{it} has been silent for too long"),
    (httpx.TooManyRedirects, "{it} redirects again and again"),
    (httpx.UnsupportedProtocol, "{its} URL begins with no protocol that is known here"),
    (httpx.InvalidURL, "{its} URL cannot be read"),
    (httpx.LocalProtocolError, "{its} URL cannot be read"),
    (httpx.RemoteProtocolError, "{it} has ended the connection, or does not speak HTTP"),
    (httpx.DecodingError, "{its} answer is damaged"),
    (httpx.ProxyError, "the proxy refuses to reach {it}"),
    (httpx.NetworkError, _ENDED),
)
_STATUSES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "{it} refuses user and password, or asks for them",
    HTTPStatus.FORBIDDEN: "{it} allows this to nobody, or to others",
    HTTPStatus.NOT_FOUND: "{it} has nothing at this path",
    HTTPStatus.GONE: "{it} has nothing at this path any more",
    HTTPStatus.METHOD_NOT_ALLOWED: "{it} has nothing at this path that can be asked for",
    HTTPStatus.REQUEST_TIMEOUT: "{it} found the request too slow",
    HTTPStatus.MISDIRECTED_REQUEST: "{it} does not answer under this name",
    HTTPStatus.TOO_MANY_REQUESTS: "{it} is asked too often",
    HTTPStatus.SERVICE_UNAVAILABLE: "{it} is overloaded, or being started",
}


_SILENCES = tuple((kind, text) for kind, text in _HTTP if issubclass(kind, httpx.TimeoutException))


def in_words(err: BaseException, it: str = "it") -> str:
    """What an error of a connection, a file or a device means.

    Args:
        err: The error; what led to it says more than itself.
        it: What was to be reached or read.
    """
    problem = certificate_problem(err)
    if problem:
        return problem.replace("its ", f"{_of(it)} ", 1) if problem.startswith("its ") else problem.replace("it", it, 1)
    chain = _chain(err)
    told = _told(chain, _SILENCES) or next((text for each in chain if (text := _meaning(each))), "")
    return _about(it, told or _told(chain, _HTTP) or "{it} cannot be read")


def status_in_words(status: int, it: str = "it") -> str:
    """What the status of an answer means that is no success.

    Args:
        status: It.
        it: Who has answered.
    """
    text = _STATUSES.get(status)
    if text is None and 300 <= status < 400:
        text = "{it} redirects to another address, which is not followed"
    if text is None:
        text = "{it} reports a fault of its own" if status >= 500 else "{it} does not give what was asked for"
    return f"{_about(it, text)} (HTTP {status})"


def _meaning(err: BaseException) -> str:
    """Of one error; empty if it has none by itself."""
    if isinstance(err, gaierror):
        return "no name server answers" if err.errno in {EAI_AGAIN, EAI_FAIL} else "{its} name is not known here"
    if isinstance(err, ssl.SSLError):
        return "{it} ends the encrypted connection, or does not encrypt as is expected today"
    if isinstance(err, OSError) and (text := _SYSTEM.get(err.errno or 0)):
        return text
    if isinstance(err, TimeoutError):
        return _SILENT
    if isinstance(err, UnicodeError):
        return "{it} is no text in UTF-8"
    return _SYSTEM[errno.ENOMEM] if isinstance(err, MemoryError) else ""


def _told(chain: list[BaseException], texts: tuple[tuple[type[Exception], str], ...]) -> str:
    return next((text for each in chain for kind, text in texts if isinstance(each, kind)), "")


def _chain(err: BaseException) -> list[BaseException]:
    """What led to an error, the first first, and then itself."""
    chain: list[BaseException] = []
    found: BaseException | None = err
    while found is not None and found not in chain:
        chain.append(found)
        found = found.__cause__ or found.__context__
    return chain[::-1]


def _about(it: str, text: str) -> str:
    return text.format(it=it, its=_of(it))


def _of(it: str) -> str:
    return "its" if it == "it" else f"{it}'s"
