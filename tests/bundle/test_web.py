"""Pulling from a real web server: what it may see, where it may send us, and lines that break."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crowdserve.bundle import web
from crowdserve.bundle.cache import ModelCache
from crowdserve.bundle.manifest import Manifest
from crowdserve.bundle.pull import pull_bundle
from crowdserve.bundle.reference import without_secrets
from crowdserve.errors import BundleError, SetupError
from tests.support.certificates import write_certificate
from tests.support.scripted import run_scripted

Serve = Callable[[Path], Any]


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_broken_line_leaves_nothing_and_the_next_pull_succeeds(
    share: float, archive: Path, manifest: Manifest, cache: ModelCache, serve_folder: Serve
) -> None:
    server = serve_folder(archive.parent)
    server.cut_after_bytes = int(archive.stat().st_size * share)
    with pytest.raises(BundleError, match=r"bundle.tar: .*run the command again"):
        pull_bundle(f"{server.url}/bundle.tar", cache)
    assert not cache.folder.exists() or not list(cache.folder.iterdir())
    server.cut_after_bytes = None
    assert pull_bundle(f"{server.url}/bundle.tar", cache).digest == manifest.digest


def test_an_endless_download_is_ended(archive: Path, cache: ModelCache, serve_folder: Serve) -> None:
    server = serve_folder(archive.parent)
    server.endless = True
    with pytest.raises(BundleError, match="is larger than the"):
        pull_bundle(f"{server.url}/bundle.tar", cache)
    assert not list(cache.folder.iterdir())
    assert server.sent_bytes["bundle.tar"] < 64 << 20  # what the system holds back for a slow reader is some MB


def test_http_without_tls_is_for_this_machine(archive: Path, cache: ModelCache, serve_folder: Serve) -> None:
    with pytest.raises(BundleError, match=r"http://models.invalid/bundle.tar is not encrypted.*--plain-http"):
        pull_bundle("http://models.invalid/bundle.tar", cache)
    with pytest.raises(BundleError, match=r"http://models.invalid/bundle.tar: .*check the address and the line"):
        pull_bundle("http://models.invalid/bundle.tar", cache, plain_http=True)  # it is asked for, but is nowhere
    server = serve_folder(archive.parent)
    server.redirect = "http://models.invalid/bundle.tar?signature=abc"
    with pytest.raises(BundleError, match=r"http://models.invalid/bundle.tar is not encrypted"):
        pull_bundle(f"{server.url}/bundle.tar", cache)


def test_the_token_goes_to_the_server_and_nowhere_else(
    archive: Path, cache: ModelCache, serve_folder: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, other = serve_folder(archive.parent), serve_folder(archive.parent)
    server.token = "s3cret"
    with pytest.raises(BundleError, match=r"answered 401 Unauthorized; check the token in CROWDSERVE_MODELS_TOKEN"):
        pull_bundle(f"{server.url}/bundle.tar", cache)
    monkeypatch.setenv("CROWDSERVE_MODELS_TOKEN", "wrong")
    with pytest.raises(BundleError) as refusal:
        pull_bundle(f"{server.url}/bundle.tar", cache)
    assert "wrong" not in str(refusal.value)
    monkeypatch.setenv("CROWDSERVE_MODELS_TOKEN", "s3cret s3cret")
    with pytest.raises(SetupError, match="CROWDSERVE_MODELS_TOKEN is not a bearer token"):
        pull_bundle(f"{server.url}/bundle.tar", cache)
    monkeypatch.setenv("CROWDSERVE_MODELS_TOKEN", "s3cret")
    pull_bundle(f"{server.url}/bundle.tar", cache)
    server.redirect = f"{other.url}/bundle.tar"
    pull_bundle(f"{server.url}/bundle.tar", cache)
    assert (server.authorizations[-1], other.authorizations) == ("Bearer s3cret", [None])


def test_the_token_does_not_go_to_http_after_https(
    cache: ModelCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = write_certificate(tmp_path, "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("CROWDSERVE_MODELS_TOKEN", "s3cret")
    monkeypatch.setattr(web, "is_loopback", lambda host: False)  # as if both were somewhere else
    with (
        run_scripted(lambda *_: (404, {}, b""), "127.0.0.2") as plain,
        run_scripted(lambda *_: (302, {"Location": f"{plain.url}/b.tar"}, b""), "127.0.0.2", certificate) as secure,
        pytest.raises(BundleError, match="is not encrypted"),
    ):
        pull_bundle(f"{secure.url}/b.tar", cache)
    assert (secure.authorizations, plain.requests) == ({"Bearer s3cret"}, [])


def test_secrets_in_an_address_are_not_shown(archive: Path, cache: ModelCache, serve_folder: Serve) -> None:
    server = serve_folder(archive.parent)
    host = server.url.removeprefix("http://")
    with pytest.raises(BundleError) as refusal:
        pull_bundle(f"http://me:pass@{host}/other.tar?signature=abc", cache)
    assert str(refusal.value) == f"http://{host}/other.tar answered 404 File not found; check the address"
    bundle = pull_bundle(f"http://me:pass@{host}/bundle.tar?signature=abc", cache)
    assert bundle.address == f"http://{host}/bundle.tar"
    origin = cache.folder / f"{bundle.folder.name}.json"
    assert not any(secret in origin.read_text() for secret in ("pass", "abc"))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:pass@host:1/a@b.tar?x=1#y", "https://host:1/a@b.tar"),
        ("folder?/a@b", "folder?/a@b"),
    ],
)
def test_what_is_shown_of_an_address(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


def test_a_second_pull_asks_for_the_manifest_alone(
    archive: Path, cache: ModelCache, serve_folder: Serve, tmp_path: Path
) -> None:
    server = serve_folder(archive.parent)
    pull_bundle(f"{server.url}/bundle.tar", cache)
    server.sent_bytes.clear()
    server.cut_after_bytes = 20_000  # the manifest, and no model
    pull_bundle(f"{server.url}/bundle.tar", cache)
