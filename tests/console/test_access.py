import asyncio
import time
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from crowdserve.console import access
from crowdserve.console.access import COOKIE, FILE_VARIABLE, TOKEN_VARIABLE, Access, read_console_token
from crowdserve.errors import SetupError

TOKEN = "0123456789abcdef"


def request(**headers: str) -> Request:
    listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "PUT", "path": "/", "headers": [(b"host", b"console.example"), *listed]})


def may(guard: Access, sent: Request) -> bool:
    return asyncio.run(guard.may_change(sent))


@pytest.fixture(autouse=True)
def wrong_ones_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_WRONG_SECONDS", 0.01)


def session(of: Access) -> str:
    response = Response()
    of.log_in(response, secure=True)
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
    assert not may(guard, request(cookie=f"{COOKIE}={int(time.time()) + 60}.{Access('')._signature('x')}"))


def test_a_session_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Access(TOKEN)
    cookie = session(guard)
    assert may(guard, request(cookie=cookie))
    assert not may(Access("another-token-of-16"), request(cookie=cookie))
    name, _, value = cookie.partition("=")
    until, _, signature = value.partition(".")
    assert not may(guard, request(cookie=f"{name}={int(until) + 1}.{signature}"))
    later = time.time() + access.SESSION_SECONDS + 1
    monkeypatch.setattr(access.time, "time", lambda: later)
    assert not may(guard, request(cookie=cookie))


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"origin": "https://console.example"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
    ],
)
def test_a_session_is_of_no_use_to_another_site(headers: dict[str, str], allowed: bool) -> None:
    guard = Access(TOKEN)
    assert may(guard, request(cookie=session(guard), **headers)) == allowed


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
