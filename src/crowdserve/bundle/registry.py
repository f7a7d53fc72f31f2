"""Client of a container registry: the part of the OCI distribution API that a push and a pull take, over HTTP."""

import json
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import httpx

from crowdserve.bundle.credentials import Credentials, find_credentials
from crowdserve.bundle.reference import ImageReference
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
_PASSING_STATUSES = {429, 500, 502, 503, 504}

_T = TypeVar("_T")


class _PassingFailure(Exception):
    """A failure after which the same request may succeed."""


class _Login(httpx.Auth):
    """Answers a registry's challenge: basic credentials, or a bearer token that they are exchanged for."""

    def __init__(self, host: str, credentials: Credentials | None) -> None:
        self._host = host
        self._credentials = credentials
        self._header = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request, and once more with the credentials that the registry asks for."""
        if request.url.netloc.decode() != self._host:  # an upload to a signed address elsewhere
            yield request
            return
        if self._header:
            request.headers["Authorization"] = self._header
        response = yield request
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return
        scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme.lower() == "bearer" and "realm" in challenge:
            answer = yield self._token_request(challenge)
            if answer.is_success:
                found = json.loads(answer.read())
                self._header = f"Bearer {found.get('token') or found.get('access_token')}"
        elif self._credentials is not None:
            self._header = self._credentials.basic
        if self._header:
            request.headers["Authorization"] = self._header
            yield request

    def _token_request(self, challenge: Mapping[str, str]) -> httpx.Request:
        query = {name: challenge[name] for name in ("service", "scope") if name in challenge}
        if self._credentials is None:
            return httpx.Request("GET", challenge["realm"], params=query)
        if self._credentials.is_refresh_token:
            form = {"grant_type": "refresh_token", "refresh_token": self._credentials.secret, **query}
            return httpx.Request("POST", challenge["realm"], data={**form, "client_id": "crowdserve"})
        headers = {"Authorization": self._credentials.basic}
        return httpx.Request("GET", challenge["realm"], params=query, headers=headers)


class Registry:
    """One repository of a registry; a context manager.

    Args:
        reference: Any image in the repository.
        plain_http: Whether to speak HTTP without TLS, as always with a registry on this machine.
    """

    def __init__(self, reference: ImageReference, *, plain_http: bool = False) -> None:
        self._reference = reference
        scheme = "http" if plain_http or reference.is_local else "https"
        self._client = httpx.Client(
            base_url=f"{scheme}://{reference.host}/v2/{reference.repository}/",
            auth=_Login(reference.host, find_credentials(reference.registry)),
            timeout=_TIMEOUT_SECONDS,
            follow_redirects=True,
            trust_env=not reference.is_local,
        )

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
        response = self._retried(
            lambda: self._send("GET", f"manifests/{version}", {200, 404}, headers={"Accept": _MANIFEST_TYPES})
        )
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        return response.content, response.headers.get("Content-Type", "").partition(";")[0]

    def read_blob(self, digest: str) -> bytes:
        """A blob's content.

        Raises:
            BundleError: If there is no such blob, or the registry refuses.
        """
        return self._retried(lambda: self._send("GET", f"blobs/{digest}", {200})).content

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """A blob, a manifest or an index in chunks, as it arrives.

        Args:
            path: Such as ``blobs/<digest>`` or ``manifests/<tag>``.

        Raises:
            BundleError: If there is none, the registry refuses, or the line breaks.
        """
        headers = {"Accept": f"{_MANIFEST_TYPES}, */*", "Accept-Encoding": "identity"}
        try:
            with self._client.stream("GET", path, headers=headers) as response:
                if not response.is_success:
                    response.read()
                    raise self._refusal(f"GET {path} answered {response.status_code} {_reason(response)}")
                yield response.iter_raw()
        except httpx.HTTPError as err:
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
        if self._send("HEAD", f"blobs/{digest}", {200, 404}).status_code == httpx.codes.OK:
            return
        started = self._send("POST", "blobs/uploads/", {202})
        location = started.request.url.join(started.headers["Location"]).copy_merge_params({"digest": digest})
        with file.open("rb") as content:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
            self._send("PUT", str(location), {201}, content=content, headers=headers)

    def _send(
        self,
        method: str,
        url: str,
        expected: set[int],
        content: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            response = self._client.request(method, url, content=content, headers=headers)  # type: ignore[arg-type]
        except httpx.TransportError as err:
            raise _PassingFailure(str(err) or type(err).__name__) from err
        if response.status_code in expected:
            return response
        reason = f"{method} answered {response.status_code} {_reason(response)}"
        if response.status_code in _PASSING_STATUSES:
            raise _PassingFailure(reason)
        raise self._refusal(reason)

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


def _reason(response: httpx.Response) -> str:
    """The registry's message, in the distribution API's form of errors."""
    try:
        errors = response.json()["errors"]
        return "; ".join(f"{error.get('code', '')} {error.get('message', '')}".strip() for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return response.reason_phrase
