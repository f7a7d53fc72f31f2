import asyncio
import time
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from crowdserve.console import access, sessions
from crowdserve.console.access import FILE_VARIABLE, TOKEN_VARIABLE, Access, read_console_token
from crowdserve.console.sessions import MOST_SESSIONS, SESSION_SECONDS, Sessions
from crowdserve.errors import SetupError

TOKEN = "0123456789abcdef"


ORIGIN = "http://console.example"


def request(method: str = "PUT", port: int = 8080, **headers: str) -> Request:
    listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asked = [(b"host", b"console.example"), *listed]
    return Request({"type": "http", "method": method, "path": "/", "headers": asked, "server": ("10.0.0.1", port)})


def may(guard: Access, sent: Request) -> bool:
    return asyncio.run(guard.may_change(sent))


@pytest.fixture(autouse=True)
def wrong_ones_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_WRONG_SECONDS", 0.01)


def session(of: Access, asked: Request | None = None) -> str:
    response = Response()
    of.log_in(asked or request(), response, secure=True)
    cookie = response.headers["set-cookie"]
    assert all(flag in cookie.lower() for flag in ("httponly", "samesite=strict", "secure", "path=/"))
    return cookie.partition(";")[0]


def test_only_the_token_may_change() -> None:
    guard = Access(TOKEN)
    assert may(guard, request(authorization=f"Bearer {TOKEN}"))
    assert may(guard, request(authorization=f"bearer {TOKEN}"))
    for wrong in ("", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", "Bearer \xff"):
        assert not may(guard, request(authorization=wrong))
    assert not may(guard, request())


@pytest.mark.parametrize("wrong", ["", "wrong", "späte", "\ud800"])
def test_wrong_tokens_wait_for_each_other(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_WRONG_SECONDS", 0.05)

    async def run() -> None:
        guard = Access(TOKEN)
        started = time.monotonic()
        bearer = request(authorization="Bearer wrong")
        assert await asyncio.gather(guard.is_token(wrong), guard.may_change(bearer)) == [False, False]
        assert time.monotonic() - started >= 0.1
        assert await guard.is_token(TOKEN)

    asyncio.run(run())


def test_without_a_token_nobody_may() -> None:
    guard = Access(None)
    assert not may(guard, request(authorization="Bearer "))
    assert not may(guard, request(cookie=session(guard), origin=ORIGIN))


def test_a_session_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Access(TOKEN)
    cookie = session(guard)
    assert may(guard, request(cookie=cookie, origin=ORIGIN))
    assert not may(Access(TOKEN), request(cookie=cookie, origin=ORIGIN))  # after a restart
    assert not may(guard, request(cookie=f"{cookie}x", origin=ORIGIN))
    assert not may(guard, request(cookie=cookie, origin="http://console.example:9108", port=9108))
    monkeypatch.setattr(time, "time", lambda: 4e9)  # the clock is set
    assert may(guard, request(cookie=cookie, origin=ORIGIN))
    later = time.monotonic() + SESSION_SECONDS + 1
    monkeypatch.setattr(sessions.time, "monotonic", lambda: later)
    assert not may(guard, request(cookie=cookie, origin=ORIGIN))


def test_logging_out_ends_the_session_of_a_copied_cookie_and_no_other() -> None:
    guard = Access(TOKEN)
    copied, other = session(guard), session(guard)
    response = Response()
    guard.log_out(request(cookie=copied), response)
    assert "max-age=0" in response.headers["set-cookie"].lower()
    assert not may(guard, request(cookie=copied, origin=ORIGIN))
    assert may(guard, request(cookie=other, origin=ORIGIN))
    again = session(guard, request(cookie=other))
    assert not may(guard, request(cookie=other, origin=ORIGIN))
    assert may(guard, request(cookie=again, origin=ORIGIN))


def test_sessions_are_bounded_and_the_oldest_goes() -> None:
    known = Sessions()
    first, *others = [known.begin() for _ in range(MOST_SESSIONS + 1)]
    assert not known.knows(first)
    assert all(map(known.knows, others))


def test_consoles_on_two_ports_of_a_machine_keep_their_cookies_apart() -> None:
    one, other = (session(Access(TOKEN), request(port=port)).partition("=")[0] for port in (8080, 9108))
    assert one != other


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"origin": "https://console.example"}, True),
        ({"origin": "https://console.example:443"}, True),
        ({"origin": "http://Console.Example"}, False),
        ({"origin": "http://console.example:8443"}, False),
        ({"origin": "http://[console.example"}, False),
        ({}, False),  # a browser says from where
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
    ],
)
def test_a_session_is_of_no_use_to_another_site(headers: dict[str, str], allowed: bool) -> None:
    guard = Access(TOKEN)
    assert may(guard, request(cookie=session(guard), **headers)) == allowed


def test_looking_needs_no_origin() -> None:
    guard = Access(TOKEN)
    assert may(guard, request("GET", cookie=session(guard)))
    assert not may(guard, request("GET", cookie=session(guard), sec_fetch_site="cross-site"))


def test_the_token_from_a_file_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    assert read_console_token() is None
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert read_console_token() == TOKEN
    (tmp_path / "token").write_text("from-a-file-of-16\n")
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "token"))
    assert read_console_token() == "from-a-file-of-16"


@pytest.mark.parametrize("text", ["short", "", "with a blank inside it", "späte-token-für-16"])
def test_a_token_that_cannot_be(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(text)
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "token"))
    with pytest.raises(SetupError, match=FILE_VARIABLE) as found:
        read_console_token()
    assert not text or text not in str(found.value)


def test_a_file_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(SetupError, match="cannot be read"):
        read_console_token()
