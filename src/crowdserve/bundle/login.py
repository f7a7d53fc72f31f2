"""Login to a registry: credentials and tokens go where its own challenge names, and nowhere else.

    request ──► 401, WWW-Authenticate ──► Basic:  the same request with user and password
                                     └──► Bearer: user and password to the realm ──► token ──► the same request with it

A challenge counts if the registry itself gave it: the same scheme, host and port. Its realm may be another host, as
Docker Hub's is, but over HTTPS if the registry is.
"""

import json
import re
from collections.abc import Callable

import httpx

from crowdserve.bundle.credentials import Credentials
from crowdserve.errors import BundleError
from crowdserve.network import is_loopback

MAX_TOKEN_BYTES = 1 << 20

Fetch = Callable[[httpx.Request], tuple[int, bytes]]
"""Sends a request without following a redirect; status and content, which is no longer than `MAX_TOKEN_BYTES`."""

_TOKEN = re.compile(r"[!-~]+")
Origin = tuple[str, str, int | None]


def origin(url: httpx.URL) -> Origin:
    """Scheme, host and port: what credentials belong to."""
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


class Login:
    """The header that a registry wants, once it has asked for one.

    Args:
        registry: Address of the registry.
        credentials: Those of `docker login`; None for none.
        plain_http: Whether the user allowed HTTP without TLS to other machines.
    """

    def __init__(self, registry: httpx.URL, credentials: Credentials | None, *, plain_http: bool) -> None:
        self._registry = registry
        self._credentials = credentials
        self._plain_http = plain_http
        self._header = ""

    def headers(self, url: httpx.URL) -> dict[str, str]:
        """The header for a request; none for a request to anybody but the registry."""
        return {"Authorization": self._header} if self._header and origin(url) == origin(self._registry) else {}

    def answer(self, url: httpx.URL, challenge: str, fetch: Fetch) -> bool:
        """Take up a challenge; whether the request may succeed now.

        Args:
            url: Who gave it.
            challenge: The header ``WWW-Authenticate``.
            fetch: Sends the request for a token.

        Raises:
            BundleError: If the realm may not be sent credentials.
        """
        if origin(url) != origin(self._registry):
            return False
        before = self._header
        scheme, _, rest = challenge.partition(" ")
        values = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme.lower() == "bearer" and "realm" in values:
            status, content = fetch(self._token_request(self._realm(values["realm"]), values))
            token = _token(content) if status == httpx.codes.OK else None
            self._header = f"Bearer {token}" if token else self._header
        elif scheme.lower() == "basic" and self._credentials is not None and not self._credentials.is_refresh_token:
            self._header = self._credentials.basic
        return self._header != before

    def _realm(self, text: str) -> httpx.URL:
        try:
            realm = self._registry.join(text).copy_with(userinfo=b"")
        except httpx.InvalidURL as err:
            raise BundleError(f"{self._registry.host} names {text!r:.200} for logins, which is no address") from err
        is_safe = realm.scheme == "https" or (
            realm.scheme == "http"
            and self._registry.scheme == "http"
            and (self._plain_http or is_loopback(realm.host) or origin(realm) == origin(self._registry))
        )
        if not is_safe:
            raise BundleError(
                f"{self._registry.host} sends logins to {realm.scheme}://{realm.host}, which is not encrypted; nothing "
                "was sent. Ask who runs the registry, or name another"
            )
        return realm

    def _token_request(self, realm: httpx.URL, challenge: dict[str, str]) -> httpx.Request:
        query: dict[str, str] = {name: challenge[name] for name in ("service", "scope") if name in challenge}
        if self._credentials is None:
            return httpx.Request("GET", realm.copy_merge_params(query))
        if self._credentials.is_refresh_token:
            form = {"grant_type": "refresh_token", "refresh_token": self._credentials.secret, **query}
            return httpx.Request("POST", realm, data={**form, "client_id": "crowdserve"})
        headers = {"Authorization": self._credentials.basic}
        return httpx.Request("GET", realm.copy_merge_params(query), headers=headers)


def _token(content: bytes) -> str | None:
    """The token of an answer, if it has one that can stand in a header."""
    try:
        found = json.loads(content)
        token = found.get("token") or found.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        return None
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else None
