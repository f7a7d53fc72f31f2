"""The hosts that get the client's token, and its errors for services that refuse access."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from crowdserve.client.service import ServiceClient
from crowdserve.client.tokens import read_token
from crowdserve.errors import DeadlineExceeded, Overloaded, SetupError, TritonFailed, TritonUnavailable

TOKEN = "s3cret.t0ken"


class Stranger(ThreadingHTTPServer):
    """A gateway that gives the same response to every request and records the requests.

    Attributes:
        seen: Path and `Authorization` of each request.
        answer: Status and headers.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str | None]] = []
        self.answer: tuple[int, dict[str, str]] = (500, {})
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Stranger

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, self.headers["Authorization"]))
        status, headers = self.server.answer
        text = json.dumps({"error": f"refused: {self.headers['Authorization']}"}).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST


@pytest.fixture
def strangers() -> Iterator[tuple[Stranger, Stranger]]:
    servers = Stranger(), Stranger()
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


def url_of(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def refusal(server: Stranger, token: str | None = None, **options: str) -> str:
    with ServiceClient(server.url, token=token, use_proxy=False, **options) as client:
        with pytest.raises(SetupError) as caught:
            client.count(b"photo")
        assert TOKEN not in f"{client!r} {vars(client)}"
    return str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_refusal_names_the_variable_but_not_the_token(strangers: tuple[Stranger, Stranger], status: int) -> None:
    server, _ = strangers
    server.answer = (status, {})
    assert refusal(server).endswith(": set CROWDSERVE_TOKEN to a bearer token")
    message = refusal(server, TOKEN)
    assert message.startswith(f"{server.url} answered {status} ")
    assert message.endswith(": it refuses the token in CROWDSERVE_TOKEN")
    assert TOKEN not in message
    assert [authorization for _, authorization in server.seen] == [None, f"Bearer {TOKEN}"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_photo_and_token_are_not_sent_to_another_host(strangers: tuple[Stranger, Stranger], status: int) -> None:
    server, other = strangers
    server.answer = (status, {"Location": f"{other.url}/login"})
    assert "redirects are not followed: name the service's own URL, or set CROWDSERVE_TOKEN" in refusal(server, TOKEN)
    assert (len(server.seen), other.seen) == (1, [])


def test_model_of_the_url_is_requested(strangers: tuple[Stranger, Stranger]) -> None:
    server, _ = strangers
    server.answer = (404, {})
    assert "answered 404 Not Found: no model 'crowdserve' there" in refusal(server)
    assert "no model 'heads/2' there; check the URL, and the model's name (--model" in refusal(server, model="heads/2")
    assert [path for path, _ in server.seen] == [f"/v2/models/{name}/infer" for name in ("crowdserve", "heads%2F2")]


def test_server_error_is_not_reported_as_missing_access(strangers: tuple[Stranger, Stranger]) -> None:
    with ServiceClient(strangers[0].url, use_proxy=False) as client, pytest.raises(TritonFailed, match="refused: None"):
        client.count(b"photo")


@pytest.mark.parametrize(("status", "error"), [(408, DeadlineExceeded), (429, Overloaded), (503, TritonUnavailable)])
def test_refusal_for_load_is_no_failure_of_triton(
    strangers: tuple[Stranger, Stranger], status: int, error: type[Exception]
) -> None:
    strangers[0].answer = (status, {"Retry-After": "1"})
    with ServiceClient(strangers[0].url, use_proxy=False) as client, pytest.raises(error, match="refused: None"):
        client.count(b"photo")


def test_unreachable_host_is_not_reported_as_a_service_failure() -> None:
    waiting = [socket.socket() for _ in range(3)]
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as server,
        ServiceClient(url_of(server), use_proxy=False) as client,
    ):
        for each in waiting:  # fills the backlog: the next connection gets no response
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        client._http.timeout = httpx.Timeout(30, connect=0.2)
        with pytest.raises(SetupError, match=r"no service answers at http://127.0.0.1:\d+ \(it does not answer\)"):
            client.count(b"photo")
    for each in waiting:
        each.close()


def test_timeout_means_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ServiceClient(url_of(server), use_proxy=False) as client:
        client._http.timeout = httpx.Timeout(30, read=0.2)
        with pytest.raises(TritonUnavailable, match="did not answer in time"):
            client.count(b"photo")


@pytest.mark.parametrize("url", ["http://bob:p/w0rd@127.0.0.1:9", "http://bob:w0rd@127.0.0.1:9", "bob:w0rd@127.0.0.1"])
def test_messages_contain_no_password(url: str) -> None:
    with pytest.raises(SetupError, match=r"127\.0\.0\.1") as caught, ServiceClient(url, use_proxy=False) as client:
        client.count(b"photo")
    assert "w0rd" not in str(caught.value)
    assert "bob" not in str(caught.value)


def test_token_is_stripped_of_its_line_break(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROWDSERVE_TOKEN", raising=False)
    assert read_token("CROWDSERVE_TOKEN") is None
    monkeypatch.setenv("CROWDSERVE_TOKEN", f" {TOKEN}\n")
    assert read_token("CROWDSERVE_TOKEN") == TOKEN
    monkeypatch.setenv("CROWDSERVE_TOKEN", "\n")
    assert read_token("CROWDSERVE_TOKEN") is None


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "schlüssel", "nul\x7f"])
def test_invalid_header_value_is_refused_without_printing_it(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("CROWDSERVE_TOKEN", token)
    with pytest.raises(SetupError, match="CROWDSERVE_TOKEN is not a bearer token") as caught:
        read_token("CROWDSERVE_TOKEN")
    assert token not in str(caught.value)
