"""Client of a container registry: the part of the OCI distribution API that a push and a pull take, over HTTP."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import httpx

from crowdserve.bundle.connection import MAX_ANSWER_BYTES, Connection, read_small
from crowdserve.bundle.credentials import find_credentials
from crowdserve.bundle.folder import printable
from crowdserve.bundle.login import Login
from crowdserve.bundle.pace import paced
from crowdserve.bundle.reference import ImageReference
from crowdserve.certificates import certificate_problem, tls_context
from crowdserve.errors import BundleError

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_DOCKER_TYPES = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_MANIFEST_TYPES = ", ".join((INDEX_TYPE, MANIFEST_TYPE, *_DOCKER_TYPES))
_TIMEOUT_SECONDS = httpx.Timeout(60.0, write=600.0)
_ATTEMPTS = 3
_PAUSE_SECONDS = 1.0
_SHOWN_CHARACTERS = 500
_PASSING_STATUSES = {429, 500, 502, 503, 504}

_T = TypeVar("_T")


class _PassingFailure(Exception):
    """A failure after which the same request may succeed."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """A small answer.

    Attributes:
        status: HTTP status.
        headers: Its headers.
        content: Its content.
        location: Where an upload goes to; else where the answer came from.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    location: httpx.URL


class Registry:
    """One repository of a registry; a context manager.

    Args:
        reference: Any image in the repository.
        plain_http: Whether to speak HTTP without TLS, as always with a registry on this machine.
        ca_file: Certificates of authorities to trust besides the usual ones.
    """

    def __init__(self, reference: ImageReference, *, plain_http: bool = False, ca_file: Path | None = None) -> None:
        self._reference = reference
        self._ca_file = ca_file
        scheme = "http" if plain_http or reference.is_local else "https"
        url = httpx.URL(f"{scheme}://{reference.host}/v2/{reference.repository}/")
        self._client = httpx.Client(
            base_url=url,
            timeout=_TIMEOUT_SECONDS,
            trust_env=not reference.is_local,
            verify=tls_context(ca_file),
        )
        login = Login(url, find_credentials(reference.registry), plain_http=plain_http)
        self._connection = Connection(self._client, login, str(reference))

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()

    def read_manifest(self, version: str) -> tuple[bytes, str] | None:
        """A manifest or index, and its media type; None if there is none.

        Args:
            version: Tag or digest of it.

        Raises:
            BundleError: If the registry refuses.
        """
        answer = self._retried(
            lambda: self._send("GET", f"manifests/{version}", {200, 404}, headers={"Accept": _MANIFEST_TYPES})
        )
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        return answer.content, answer.headers.get("Content-Type", "").partition(";")[0]

    def read_blob(self, digest: str, size_bytes: int) -> bytes:
        """A blob's content.

        Args:
            digest: Its digest.
            size_bytes: Its size, as a manifest says; more is not read.

        Raises:
            BundleError: If there is no such blob, it is larger, or the registry refuses.
        """
        return self._retried(lambda: self._send("GET", f"blobs/{digest}", {200}, limit_bytes=size_bytes)).content

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """A blob, a manifest or an index in chunks, as it arrives.

        Args:
            path: Such as ``blobs/<digest>`` or ``manifests/<tag>``.

        Raises:
            BundleError: If there is none, the registry refuses, or the line breaks.
        """
        headers = {"Accept": f"{_MANIFEST_TYPES}, */*"}
        try:
            with self._connection.open("GET", path, headers=headers) as response:
                if not response.is_success:
                    reason = self._reason(response)
                    raise self._refusal(f"GET {path} answered {response.status_code} {reason}")
                yield paced(response.iter_raw(), f"{self._reference}, {path}")
        except httpx.HTTPError as err:
            self._check_certificate(err)
            raise BundleError(f"{self._reference}: {str(err) or type(err).__name__}; try again") from err

    def push_blob(self, digest: str, file: Path) -> None:
        """Upload a blob, unless the registry has it; the registry compares what arrives with the digest.

        Raises:
            BundleError: If the registry refuses.
        """
        self._retried(lambda: self._push_blob(digest, file))

    def push_manifest(self, content: bytes, media_type: str, version: str) -> None:
        """Upload a manifest or index under a tag or its digest.

        Raises:
            BundleError: If the registry refuses.
        """
        headers = {"Content-Type": media_type}
        self._retried(lambda: self._send("PUT", f"manifests/{version}", {201}, content=content, headers=headers))

    def _push_blob(self, digest: str, file: Path) -> None:
        if self._send("HEAD", f"blobs/{digest}", {200, 404}).status == httpx.codes.OK:
            return
        location = self._send("POST", "blobs/uploads/", {202}).location
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
        self._send("PUT", location.copy_merge_params({"digest": digest}), {201}, content=file, headers=headers)

    def _send(
        self,
        method: str,
        url: str | httpx.URL,
        expected: set[int],
        content: Path | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit_bytes: int = MAX_ANSWER_BYTES,
    ) -> _Answer:
        try:
            with self._connection.open(method, url, headers=headers, content=content) as response:
                if response.status_code in expected:
                    body = b"" if method == "HEAD" else read_small(response, limit_bytes, f"{self._reference}, {url}")
                    location = self._connection.target(response) if method == "POST" else response.request.url
                    return _Answer(response.status_code, response.headers, body, location)
                reason = f"{method} answered {response.status_code} {self._reason(response)}"
                if response.status_code in _PASSING_STATUSES:
                    raise _PassingFailure(reason)
                raise self._refusal(reason)
        except httpx.TransportError as err:
            self._check_certificate(err)
            raise _PassingFailure(str(err) or type(err).__name__) from err

    def _check_certificate(self, err: httpx.HTTPError) -> None:
        """Fail if a server's certificate is the cause, which no other attempt changes."""
        if problem := certificate_problem(err, self._ca_file):
            raise BundleError(f"{self._reference}: {problem}") from err

    def _reason(self, response: httpx.Response) -> str:
        """The registry's message, in the distribution API's form of errors."""
        try:
            errors = json.loads(read_small(response, MAX_ANSWER_BYTES, str(self._reference)))["errors"]
            found = "; ".join(f"{error.get('code', '')} {error.get('message', '')}".strip() for error in errors)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BundleError):
            found = response.reason_phrase
        return printable(found[:_SHOWN_CHARACTERS])

    def _refusal(self, reason: str) -> BundleError:
        return BundleError(f"{self._reference}: {reason}; check the name and the login (docker login {self._host})")

    def _retried(self, work: Callable[[], _T]) -> _T:
        for attempt in range(1, _ATTEMPTS):
            with suppress(_PassingFailure):
                return work()
            time.sleep(_PAUSE_SECONDS * attempt)
        try:
            return work()
        except _PassingFailure as err:
            raise BundleError(
                f"{self._reference}: {err}, {_ATTEMPTS} times; check the address, or --plain-http for a registry "
                "without TLS, and try again: blobs that have arrived are not sent again"
            ) from err

    @property
    def _host(self) -> str:
        return self._reference.registry
