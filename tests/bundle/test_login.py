"""Where credentials and tokens of a registry go, and above all where they do not."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from crowdserve.bundle import registry as client
from crowdserve.bundle.connection import MAX_ANSWER_BYTES, MAX_REDIRECTS
from crowdserve.bundle.login import MAX_TOKEN_BYTES
from crowdserve.bundle.reference import parse_reference
from crowdserve.errors import BundleError
from tests.support.certificates import write_certificate
from tests.support.scripted import Answer, ScriptedServer, run_scripted

BASIC = "Basic " + base64.b64encode(b"me:secret").decode()
DIGEST = "sha256:" + "0" * 64
BLOB = f"/v2/m/blobs/{DIGEST}"
SECURE = "127.0.0.2"  # an address of this machine that does not count as this machine's own registry

Serve = Callable[..., ScriptedServer]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts servers: `serve(answer)` without TLS, `serve(answer, secure=True)` with it and another address."""
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    certificate = write_certificate(tmp_path, SECURE)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with ExitStack() as stack:

        def start(
            answer: Callable[[str, str], Answer], *, secure: bool = False, host: str = "127.0.0.1"
        ) -> ScriptedServer:
            options = (SECURE, certificate) if secure else (host,)
            server = stack.enter_context(run_scripted(answer, *options))
            entry = {"auth": BASIC.removeprefix("Basic ")}
            known = json.loads((tmp_path / "config.json").read_text())["auths"] if stored.exists() else {}
            stored.write_text(json.dumps({"auths": {**known, server.address: entry}}))
            return server

        stored = tmp_path / "config.json"
        yield start


def read(registry: ScriptedServer, *, plain_http: bool = False) -> bytes:
    with client.Registry(parse_reference(f"{registry.address}/m:1"), plain_http=plain_http) as opened:
        return opened.read_blob(DIGEST, 100)


def asks(realm: str, scheme: str = "Bearer") -> Answer:
    return 401, {"WWW-Authenticate": f'{scheme} realm="{realm}",service="s",scope="c"'}, b""


def sends_to(location: str, status: int = 307) -> Answer:
    return status, {"Location": location}, b""


def found(content: bytes = b"x") -> Answer:
    return 200, {}, content


def token(server: ScriptedServer, blob: Answer) -> Callable[[str, str], Answer]:
    """A registry that gives a token, asks for it once, and then answers."""

    def answer(_: str, path: str) -> Answer:
        if path.startswith("/token"):
            return found(b'{"token": "t0ken"}')
        return blob if server.requests[-1][2] == "Bearer t0ken" else asks(f"{server.url}/token")

    return answer


def nothing(_: str, __: str) -> Answer:
    return 404, {}, b""


def registry_with_token(serve: Serve, blob: Answer, *, secure: bool = False) -> ScriptedServer:
    server = serve(nothing, secure=secure)
    server.answer = token(server, blob)
    return server


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_the_realm_of_another_host_gets_no_credentials(serve: Serve, scheme: str) -> None:
    other = serve(nothing)
    other.answer = lambda _, path: found(b'{"token": "x"}') if "token" in path else asks(f"{other.url}/token", scheme)
    registry = registry_with_token(serve, sends_to(f"{other.url}/blob"))
    with pytest.raises(BundleError, match="401"):
        read(registry)
    assert other.requests == [("GET", "/blob", None)]


def test_another_port_of_the_same_host_gets_no_token(serve: Serve) -> None:
    other = serve(lambda *_: found(b"content"))
    registry = registry_with_token(serve, sends_to(f"{other.url}/blob"))
    assert read(registry) == b"content"
    assert other.requests == [("GET", "/blob", None)]
    assert ("GET", BLOB, "Bearer t0ken") in registry.requests


def test_a_user_and_a_password_in_a_redirect_are_not_used(serve: Serve) -> None:
    other = serve(lambda *_: found(b"content"))
    registry = registry_with_token(serve, sends_to(f"http://you:pass@{other.address}/blob"))
    assert read(registry) == b"content"
    assert other.authorizations == {None}


@pytest.mark.parametrize("target", ["http://127.0.0.2:{port}/blob", "http://{other}/blob", "HTTP://{other}/blob"])
def test_nothing_goes_to_http_after_https(serve: Serve, target: str) -> None:
    other = serve(lambda *_: found(b"content"))
    location = target.format(port=other.address.rpartition(":")[2], other=other.address)
    registry = registry_with_token(serve, sends_to(location), secure=True)
    with pytest.raises(BundleError, match=r"redirects to http://.*not encrypted; nothing was sent there"):
        read(registry)
    assert other.requests == []
    assert registry.requests[-1] == ("GET", BLOB, "Bearer t0ken")


def test_a_detour_over_https_does_not_lead_to_http(serve: Serve) -> None:
    other = serve(lambda *_: found(b"content"))
    middle = serve(lambda *_: sends_to(f"{other.url}/blob"), secure=True)
    with pytest.raises(BundleError, match="not encrypted"):
        read(serve(lambda *_: sends_to(f"{middle.url}/blob"), host="127.0.0.3"), plain_http=True)
    assert len(middle.requests) == 1
    assert other.requests == []


@pytest.mark.parametrize("scheme", ["http", "HTTP", "ftp", "//"])
def test_a_realm_without_encryption_gets_nothing_from_a_registry_with_it(serve: Serve, scheme: str) -> None:
    other = serve(lambda *_: found(b'{"token": "x"}'))
    realm = f"{scheme}://{other.address}/token" if scheme != "//" else f"http://{SECURE}:1/token"
    registry = serve(lambda *_: asks(realm), secure=True)
    with pytest.raises(BundleError, match=r"sends logins to .*not encrypted; nothing was sent"):
        read(registry)
    assert other.requests == []
    assert registry.authorizations == {None}


def test_the_realm_of_the_registrys_own_challenge_may_be_another_host_with_encryption(serve: Serve) -> None:
    realm = serve(lambda *_: found(b'{"access_token": "t0ken"}'), secure=True)
    registry = serve(nothing, secure=True)
    registry.answer = lambda *_: (
        found(b"content") if registry.requests[-1][2] == "Bearer t0ken" else asks(f"{realm.url}/token?a=b")
    )
    assert read(registry) == b"content"
    assert realm.requests == [("GET", "/token?a=b&service=s&scope=c", BASIC)]
    assert registry.authorizations == {None, "Bearer t0ken"}


def test_a_realm_on_another_machine_without_encryption_needs_the_flag(serve: Serve) -> None:
    registry = serve(lambda *_: asks("http://models.invalid/token"))
    with pytest.raises(BundleError, match=r"sends logins to http://models\.invalid, which is not encrypted"):
        read(registry)


def test_a_redirect_of_the_realm_is_not_followed(serve: Serve) -> None:
    other = serve(lambda *_: found(b'{"token": "x"}'))
    registry = serve(nothing)
    registry.answer = lambda _, path: (
        sends_to(f"{other.url}/token") if path.startswith("/token") else asks(f"{registry.url}/token")
    )
    with pytest.raises(BundleError, match="401"):
        read(registry)
    assert other.requests == []


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"token": 7}', b'{"token": "a\\r\\nHost: b"}', b"[" * 100_000, b"\xff", b'{"token": ""}'],
)
def test_an_answer_without_a_token_is_no_login(serve: Serve, content: bytes) -> None:
    registry = serve(nothing)
    registry.answer = lambda _, path: found(content) if path.startswith("/token") else asks(f"{registry.url}/token")
    with pytest.raises(BundleError, match="401"):
        read(registry)
    assert len(registry.requests) == 2


def test_a_login_that_is_refused_is_not_tried_for_ever(serve: Serve) -> None:
    registry = serve(nothing)
    registry.answer = lambda _, path: (
        found(b'{"token": "t0ken"}') if path.startswith("/token") else asks(f"{registry.url}/token")
    )
    with pytest.raises(BundleError, match="401"):
        read(registry)
    assert [path for _, path, _ in registry.requests] == [BLOB, "/token?service=s&scope=c", BLOB]


def test_answers_have_a_limit(serve: Serve) -> None:
    registry = serve(nothing)
    registry.answer = lambda _, path: (
        found(bytes(MAX_TOKEN_BYTES + 1)) if path.startswith("/token") else asks(f"{registry.url}/token")
    )
    with pytest.raises(BundleError, match=r"the login of .* larger than the 1,048,576 bytes"):
        read(registry)
    with pytest.raises(BundleError, match="larger than the 100 bytes"):
        read(serve(lambda *_: found(bytes(101))))
    large = serve(lambda *_: found(bytes(MAX_ANSWER_BYTES + 1)))
    with client.Registry(parse_reference(f"{large.address}/m:1")) as opened:
        with pytest.raises(BundleError, match="larger than the 4,194,304 bytes"):
            opened.read_manifest("1")
        large.answer = lambda *_: (400, {}, bytes(MAX_ANSWER_BYTES + 1))
        with pytest.raises(BundleError, match="400 Bad Request"):
            opened.read_manifest("1")


def test_redirects_come_to_an_end(serve: Serve) -> None:
    registry = serve(nothing)
    registry.answer = lambda *_: sends_to("/again")
    with pytest.raises(BundleError, match="redirects more than 5 times"):
        read(registry)
    assert len(registry.requests) == MAX_REDIRECTS + 1
    for location in ("ftp://x/y", "file:///etc/passwd"):
        registry.answer = lambda *_, location=location: sends_to(location)
        with pytest.raises(BundleError, match="redirects to no address"):
            read(registry)
    registry.answer = lambda *_: (302, {}, b"")
    with pytest.raises(BundleError, match="redirects to no address"):
        read(registry)


def push(registry: ScriptedServer, folder: Path) -> None:
    (folder / "blob").write_bytes(b"x")
    with client.Registry(parse_reference(f"{registry.address}/m:1")) as opened:
        opened.push_blob(DIGEST, folder / "blob")


def uploads(registry: ScriptedServer, location: str) -> Callable[[str, str], Answer]:
    """A registry that wants the token, knows no blob, and takes uploads somewhere."""

    def answer(method: str, path: str) -> Answer:
        if path.startswith("/token"):
            return found(b'{"token": "t0ken"}')
        if registry.requests[-1][2] != "Bearer t0ken":
            return asks(f"{registry.url}/token")
        return {"HEAD": nothing(method, path), "POST": sends_to(location, 202)}.get(method, (201, {}, b""))

    return answer


def test_an_upload_elsewhere_has_no_credentials(serve: Serve, tmp_path: Path) -> None:
    other, registry = serve(lambda *_: (201, {}, b"")), serve(nothing)
    registry.answer = uploads(registry, f"http://you:pass@{other.address}/up?signature=abc")
    push(registry, tmp_path)
    assert other.requests == [("PUT", f"/up?signature=abc&digest={DIGEST.replace(':', '%3A')}", None)]


def test_an_upload_to_the_registry_has_the_token_and_to_http_after_https_nothing(serve: Serve, tmp_path: Path) -> None:
    registry = serve(nothing, secure=True)
    registry.answer = uploads(registry, "/v2/m/blobs/uploads/17")
    push(registry, tmp_path)
    assert registry.requests[-1][::2] == ("PUT", "Bearer t0ken")
    plain = serve(lambda *_: (201, {}, b""))
    for location in (f"{plain.url}/up", f"http://{registry.address}/up"):
        registry.answer = uploads(registry, location)
        before = len(registry.requests)
        with pytest.raises(BundleError, match="not encrypted"):
            push(registry, tmp_path)
        assert plain.requests == []
        assert "PUT" not in {method for method, _, _ in registry.requests[before:]}
