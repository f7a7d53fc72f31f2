"""Headers over REST that are too many, too long, too slow, or not what they should be."""

import time

import httpx
import pytest

from crowdserve.local.service import EmbeddedService
from tests.support.attacks import PATH, connect, error_of, head, heard, post, said, status_of, watched
from tests.support.photos import gray_photo
from tests.support.requests import TIMEOUT_SECONDS, binary_body, json_body

pytestmark = pytest.mark.e2e

LIVE = "/v2/health/live"
PHOTO = json_body(gray_photo())


@pytest.fixture(scope="module")
def url(small_service: EmbeddedService) -> str:
    return small_service.http_url


@pytest.mark.parametrize(
    ("request_head", "status", "message"),
    [
        (head(LIVE, *(f"a{n}: b" for n in range(100)), method="GET"), 431, "over 100 headers"),
        (head(LIVE, f"a: {'b' * 40_000}", method="GET"), 431, "over 32,768 bytes"),
        (head(LIVE, *(f"a{n}: {'b' * 4000}" for n in range(9)), method="GET"), 431, "over 32,768 bytes"),
        (head(f"{LIVE}?{'a' * 40_000}", method="GET"), 414, "URL is over 32,768 bytes"),
        (head(LIVE, method="A" * 100), 400, "not HTTP"),
        (head(LIVE, "Content-Length: 5", "Transfer-Encoding: chunked"), 400, "not HTTP"),
        (head(LIVE, "Content-Length: 5", "Content-Length: 6"), 400, "not HTTP"),
        (head(LIVE, "Content-Length: " + "9" * 30), 400, "not HTTP"),
        (head(LIVE, "A: b", " folded"), 400, "not HTTP"),
        (head(LIVE, "A: b\0c"), 400, "not HTTP"),
        (b"GET " + b"\xff" * 10 + b" HTTP/1.1\r\n\r\n", 400, "not HTTP"),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", 400, "not HTTP"),
        (b"OPTIONS * HTTP/1.1\r\n\r\n", 404, "there is no OPTIONS"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10, 400, "not HTTP"),
        (head(f"/v2/models/{'a' * 20_000}"), 405, "' takes GET, HEAD, not POST"),
        (head(f"/v2/models/{'a' * 20_000}", method="GET"), 404, "aaa"),
        (head("/v2/models/%00%0a%ff%ed%a0%80/ready", method="GET"), 404, "does not exist"),
        (head("/v2/models/crowdserve/versions/" + "9" * 5000, method="GET"), 404, "there is"),
        (head("/", "Host: [", method="PUT"), 405, "'/' takes GET, HEAD, not PUT"),
        (head("//evil.example/", "Host: [::1", method="GET"), 404, "there is no GET"),
        (head("/v2/nothing/", method="GET"), 404, "there is no GET"),
    ],
)
def test_request_is_refused_by_its_head(url: str, request_head: bytes, status: int, message: str) -> None:
    answer = said(url, request_head)
    assert status_of(answer) == status, answer[:200]
    assert message in error_of(answer)
    assert len(answer) < 1000


def test_refusal_closes_the_connection(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(head(LIVE, *(f"a{n}: b" for n in range(100)), method="GET"))
        answer = heard(connection)
        assert b"connection: close" in answer
        connection.sendall(head(LIVE, method="GET"))
        connection.settimeout(10)
        assert connection.recv(1000) == b""


def test_headers_within_the_limits_are_read(url: str) -> None:
    for headers in ([f"a{n}: b" for n in range(99)], [f"a: {'b' * 30_000}"]):
        assert status_of(said(url, head(LIVE, *headers, method="GET"))) == 200
    assert status_of(said(url, head(f"{LIVE}?{'a' * 30_000}", method="GET"))) == 200


def test_header_in_pieces_and_many_of_them_in_one_stream_are_counted(small_service: EmbeddedService) -> None:
    """61 MiB of headers cost no memory and no time, in whatever pieces they come."""
    url, pid = small_service.http_url, small_service.transformer.pid
    small, long = b"a: b\r\n" * 10_000, b"c" * 60_000
    with watched(url, pid) as watch:
        for flood in (small, long, b"d: " + long):
            with connect(url) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n")
                try:
                    for _ in range(61 * 2**20 // len(flood)):
                        connection.sendall(flood)
                except ConnectionError:
                    pass
                assert status_of(heard(connection)) in {0, 431}
    assert watch.grown_bytes < 32 * 2**20
    assert watch.gap_seconds < 0.5
    assert not watch.failures


def test_trailers_and_chunks_have_limits_too(url: str) -> None:
    start = head(LIVE, "Transfer-Encoding: chunked", method="GET")
    assert status_of(said(url, start, b"3\r\nabc\r\n0\r\nX-Trailer: a\r\n\r\n")) == 200
    infer = head(PATH, "Transfer-Encoding: chunked")
    for rest in (
        b"3\r\nabc\r\n0\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"3\r\nabc\r\n0\r\na: " + b"b" * 100_000,
        b"1;" + b"e" * 200_000 + b"\r\n",
        b"1;eeeeeeeeeeeeeeeee\r\nx\r\n" * 20_000,
    ):
        assert status_of(said(url, infer, *(rest[n : n + 10_000] for n in range(0, len(rest), 10_000)))) in {400, 431}


def test_trailer_is_no_header(url: str) -> None:
    """A proxy that checks headers does not look at trailers."""
    body = b"0\r\nx-request-id: smuggled\r\n\r\n"
    answer = said(url, head(PATH, "Transfer-Encoding: chunked"), body)
    assert status_of(answer) == 400
    assert b"smuggled" not in answer


def test_requests_in_advance_are_bounded(url: str) -> None:
    """A pipeline of thousands would make thousands of objects before the first answer."""
    few = said(url, head(LIVE, method="GET") * 3)
    assert status_of(few) == 200
    with connect(url) as connection:
        connection.sendall(head(LIVE, method="GET") * 20_000)
        connection.settimeout(20)
        answers = b""
        try:
            while received := connection.recv(1 << 16):
                answers += received
        except ConnectionError:
            pass
    assert 1 <= answers.count(b"HTTP/1.1 200") < 20_000


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("an-id.7", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("a" * 9000, False),
        ("tab\there", False),
        ("\xe9\xe8", False),
    ],
)
def test_request_id_goes_no_further_than_it_may(url: str, sent: str, kept: bool) -> None:
    response = post(url, json_bytes(), **{"x-request-id": sent.encode("latin-1")})  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    assert (response.headers["x-request-id"] == sent) is kept
    assert (response.json()["id"] == sent) is kept


@pytest.mark.parametrize("header", ["traceparent", "tracestate", "x-b3-traceid", "authorization"])
def test_header_that_triton_would_refuse_is_not_passed_on(url: str, header: str) -> None:
    for value in ("a" * 9000, "\x80\xff"):
        response = post(url, json_bytes(), **{header: value.encode("latin-1")})  # type: ignore[arg-type]
        assert response.status_code == 200, response.text


@pytest.mark.parametrize("length", ["9" * 5000, "+5", "-0", "٣", "1_0", "0x5", "1e2", "5, 5", "18446744073709551616"])
def test_json_length_is_a_number_or_refused(url: str, length: str) -> None:
    body, _ = binary_body([gray_photo()])
    response = post(url, body, **{"inference-header-content-length": length.encode()})  # type: ignore[arg-type]
    assert response.status_code == 400, response.text
    assert "Inference-Header-Content-Length is" in response.json()["error"]
    assert len(response.json()["error"]) < 300


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "multipart/form-data; boundary=" + "x" * 5000},
        {"content-type": "\x80\xff"},
        {"accept": "*/*;q=" + "9" * 1000},
        {"accept-encoding": "gzip"},
        {"expect": "100-continue"},
        {"range": "bytes=0-1"},
        {"cookie": "a" * 9000},
        {"x-forwarded-for": "a," * 500},
        {"x-http-method-override": "DELETE"},
    ],
)
def test_other_headers_change_nothing(url: str, headers: dict[str, str]) -> None:
    response = post(url, json_bytes(), **{k: v.encode("latin-1") for k, v in headers.items()})  # type: ignore[misc]
    assert response.status_code == 200, response.text


def test_upgrade_is_declined(url: str) -> None:
    for protocol in ("websocket", "h2c"):
        answer = said(url, head(LIVE, "Connection: Upgrade", f"Upgrade: {protocol}", method="GET"))
        assert status_of(answer) == 200


OFFER = ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk", "Upgrade: h2c")


@pytest.mark.parametrize("cut", [None, 30, -40], ids=["at once", "head in two", "body in two"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_body_of_a_request_that_offers_http2_is_read(url: str, cut: int | None, chunked: bool) -> None:
    """Java's client offers it with its first request, whatever it sends; the connection is kept for the next one."""
    body = json_bytes()
    content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    request = head(PATH, *OFFER, "Content-Type: application/json", length) + content
    with connect(url) as connection:
        for part in (request[:cut], request[cut:] if cut is not None else b""):
            connection.sendall(part)
            time.sleep(0.05)
        answer = heard(connection)
        connection.sendall(head(LIVE, method="GET"))
        assert status_of(heard(connection)) == 200
    assert status_of(answer) == 200, answer[:300]
    assert b'"count"' in answer


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head(LIVE, *OFFER, *(f"a{n}: b" for n in range(100)), method="GET"), 431),
        (head(PATH, *OFFER, "Content-Length: 5", "Content-Length: 6"), 400),
        (head(PATH, *OFFER, "Content-Length: 5", "Transfer-Encoding: chunked"), 400),
    ],
)
def test_limits_hold_for_requests_that_offer_http2(url: str, request_head: bytes, status: int) -> None:
    assert status_of(said(url, request_head)) == status


def test_old_and_rare_forms_are_answered(url: str) -> None:
    assert status_of(said(url, b"GET /v2/health/live HTTP/1.0\r\n\r\n")) == 200
    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        assert client.head(url + LIVE).status_code == 200
        assert client.options(url + LIVE).status_code == 405
        assert client.get(url + LIVE + "?a=%00&b=%ff&" + "c" * 1000).status_code == 200


def json_bytes() -> bytes:
    return httpx.Request("POST", "http://x", json=PHOTO).content
