"""Servers with certificates of a private authority: every client names the problem and takes a file of authorities."""

import gc
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from crowdserve.bundle.bucket import BucketStore
from crowdserve.bundle.reference import parse_reference
from crowdserve.bundle.registry import Registry
from crowdserve.bundle.web import download
from crowdserve.certificates import tls_context, write_authorities
from crowdserve.cli.app import app
from crowdserve.client.service import RequestRefused, ServiceClient
from crowdserve.errors import BundleError, InvalidRequest, SetupError
from crowdserve.local.service import EmbeddedService
from crowdserve.rollout.prometheus import Prometheus
from crowdserve.rollout.state import now
from tests.support.certificates import Authority
from tests.support.photos import expected_count, gray_photo
from tests.support.scripted import Answer, ScriptedServer, run_scripted
from tests.support.tls import tls_in_front_of

# urllib3 leaves a connection whose certificate it refuses to the garbage collector, see `environment`.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

HOST = "127.0.0.2"
"""Another machine: a registry on 127.0.0.1 is spoken to without TLS."""

ADVICE = r"is of an authority that is not known here \(.+\); if that is your own, .* by --ca-file or CROWDSERVE_CA_FILE"
LISTING = b"<ListBucketResult><Contents><Key>bundle/manifest.json</Key></Contents></ListBucketResult>"


def answer(method: str, path: str) -> Answer:
    """The service, Prometheus, a web server, a registry and S3 in one."""
    if path.startswith("/api/v1/query"):
        return 200, {}, json.dumps({"status": "success", "data": {"result": []}}).encode()
    if path.startswith("/bucket"):
        return 200, {"Content-Type": "application/xml"}, LISTING
    return (400, {}, b'{"error": "it was reached"}') if method == "POST" else (200, {}, b"{}")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Variables of S3, and none of other authorities.

    What S3's client leaves is collected at the end: in the midst of an import, Python 3.11 can fail over it.
    """
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CROWDSERVE_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    yield
    if "S3" in request.node.name:
        gc.collect()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[ScriptedServer]:
    with run_scripted(answer, HOST, authority.issue(HOST)) as running:
        yield running


def call_service(url: str, ca_file: Path | None) -> None:
    with ServiceClient(url, ca_file=ca_file) as client, suppress(InvalidRequest):  # it was reached
        client.count(b"photo")


def ask_prometheus(url: str, ca_file: Path | None) -> None:
    Prometheus(url, "ns", ca_file=ca_file).traffic("pod", now(), now())


def fetch_from_web(url: str, ca_file: Path | None) -> None:
    with download(f"{url}/bundle.tar", ca_file=ca_file) as (_, chunks):
        assert b"".join(chunks) == b"{}"


def read_registry(url: str, ca_file: Path | None) -> None:
    with Registry(parse_reference(f"{url.removeprefix('https://')}/models:1"), ca_file=ca_file) as registry:
        assert registry.read_manifest("1")


def stream_registry(url: str, ca_file: Path | None) -> None:
    reference = parse_reference(f"{url.removeprefix('https://')}/models:1")
    with Registry(reference, ca_file=ca_file) as registry, registry.stream("manifests/1") as chunks:
        assert list(chunks)


def list_bucket(url: str, ca_file: Path | None) -> None:
    with pytest.MonkeyPatch.context() as patch, BucketStoreAt(patch, url, ca_file) as bucket:
        assert bucket.names() == ["manifest.json"]


def BucketStoreAt(patch: pytest.MonkeyPatch, url: str, ca_file: Path | None) -> BucketStore:
    patch.setenv("AWS_ENDPOINT_URL_S3", url)
    return BucketStore("s3://bucket/bundle", ca_file=ca_file)


@dataclass(frozen=True)
class Client:
    """One that speaks to servers, and the error that it raises."""

    call: Callable[[str, Path | None], None]
    error: type[Exception]


CLIENTS = {
    "the service's": Client(call_service, RequestRefused),
    "Prometheus'": Client(ask_prometheus, SetupError),
    "a web server's": Client(fetch_from_web, BundleError),
    "a registry's": Client(read_registry, BundleError),
    "a registry's blobs": Client(stream_registry, BundleError),
    "S3's": Client(list_bucket, BundleError),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_private_authority_is_named_and_trusted_by_its_file(
    name: str, server: ScriptedServer, authority: Authority
) -> None:
    client = CLIENTS[name]
    with pytest.raises(client.error, match=ADVICE):
        client.call(server.url, None)
    client.call(server.url, authority.file)


@pytest.mark.parametrize(
    ("days", "issued_for", "message"),
    [
        ((-2, -1), HOST, r"is not valid any more \(.*expired.*\); renew it, or set the clock"),
        ((1, 2), HOST, r"is not valid yet \(.+\); set the clock"),
        ((-1, 1), "crowd.example.com", r"is for another name \(.*127\.0\.0\.2.*\); use a name that"),
    ],
)
@pytest.mark.parametrize("name", ["the service's", "S3's"])
def test_wrong_certificate_says_what_is_wrong(
    name: str, days: tuple[int, int], issued_for: str, message: str, authority: Authority
) -> None:
    client = CLIENTS[name]
    certificate = authority.issue(issued_for, days=days)
    with run_scripted(answer, HOST, certificate) as wrong, pytest.raises(client.error, match=message):
        client.call(wrong.url, authority.file)


@pytest.mark.parametrize("name", ["the service's", "Prometheus'", "a web server's", "a registry's", "S3's"])
def test_server_without_tls_is_no_missing_server(name: str, authority: Authority) -> None:
    client = CLIENTS[name]
    with run_scripted(answer, HOST) as plain, pytest.raises(client.error, match=r"does not speak TLS; .* http://"):
        client.call(f"https://{plain.address}", authority.file)


def test_other_authority_is_not_enough(server: ScriptedServer, tmp_path: Path) -> None:
    other = Authority(tmp_path).file
    with pytest.raises(RequestRefused, match=f"not known here nor in {other}"):
        call_service(server.url, other)


def test_registry_is_not_asked_again_about_a_certificate(server: ScriptedServer) -> None:
    before = len(server.requests)
    with pytest.raises(BundleError, match="authority") as caught:
        read_registry(server.url, None)
    assert "3 times" not in str(caught.value)
    assert len(server.requests) == before


@pytest.mark.parametrize("form", ["with comments", "DER", "two"])
def test_forms_of_the_file(form: str, server: ScriptedServer, authority: Authority, tmp_path: Path) -> None:
    pem = authority.file.read_bytes()
    content = {"with comments": "# Österreich\n".encode() + pem, "DER": authority.der, "two": pem + pem}[form]
    (tmp_path / "authorities").write_bytes(content)
    for client in (CLIENTS["the service's"], CLIENTS["S3's"]):
        client.call(server.url, tmp_path / "authorities")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no certificate in it"),
        (b"junk", "no certificate in it"),
        (b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n", "no certificate in it"),
        (b"\xff-----BEGIN PRIVATE KEY-----\n", "no certificate in it"),
        (None, "No such file or directory"),
    ],
)
def test_file_without_certificates_is_refused(content: bytes | None, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(
        SetupError, match=rf"authorities\.pem cannot be used \({reason}\); expected certificates in PEM"
    ):
        tls_context(file)


def test_missing_file_of_openssl_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(SetupError, match=r"^SSL_CERT_FILE /nowhere\.pem cannot be read \(No such file"):
        tls_context()
    with ServiceClient("http://127.0.0.1:9"):  # nobody's certificate will be seen
        pass


def test_own_authority_is_trusted_beside_the_usual_ones(authority: Authority) -> None:
    usual, both = (tls_context(each).cert_store_stats()["x509_ca"] for each in (None, authority.file))
    assert both == usual + 1 > 50
    assert tls_context(authority.file).verify_mode == ssl.CERT_REQUIRED


@pytest.mark.e2e
def test_commands_count_through_a_gateway_of_a_private_authority(
    small_service: EmbeddedService, authority: Authority, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(gray_photo())
    address = str(httpx.URL(small_service.http_url).netloc, "ascii")
    with tls_in_front_of(address, authority.issue("127.0.0.1")) as url:
        command = ["count", str(photo), "--json", "--url", url]
        refused = CliRunner().invoke(app, command)
        assert isinstance(refused.exception, SetupError)
        assert "CROWDSERVE_CA_FILE" in str(refused.exception)
        for more, env in (
            (["--ca-file", str(authority.file)], {}),
            ([], {"CROWDSERVE_CA_FILE": str(authority.file)}),
        ):
            done = CliRunner().invoke(app, [*command, *more], env=env)
            assert json.loads(done.stdout)["count"] == pytest.approx(expected_count(), rel=1e-3)


def test_authorities_of_a_folder_are_written_for_libraries_that_take_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    write_authorities(tmp_path / "all", None)
    assert authority.file.read_text().strip() in (tmp_path / "all").read_text()
