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


def session(of: Access) -> str:
    response = Response()
    of.log_in(response, secure=True)
    cookie = response.headers["set-cookie"]
    assert all(flag in cookie.lower() for flag in ("httponly", "samesite=strict", "secure", "path=/"))
    return cookie.partition(";")[0]


def test_only_the_token_may_change() -> None:
    guard = Access(TOKEN)
    assert guard.may_change(request(authorization=f"Bearer {TOKEN}"))
    assert guard.may_change(request(authorization=f"bearer {TOKEN}"))
    for wrong in ("", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", "Bearer \xff"):
        assert not guard.may_change(request(authorization=wrong))
    assert not guard.may_change(request())


def test_without_a_token_nobody_may() -> None:
    guard = Access(None)
    assert not guard.may_change(request(authorization="Bearer "))
    assert not guard.may_change(request(cookie=f"{COOKIE}={int(time.time()) + 60}.{Access('')._signature('x')}"))


def test_a_session_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Access(TOKEN)
    cookie = session(guard)
    assert guard.may_change(request(cookie=cookie))
    assert not Access("another-token-of-16").may_change(request(cookie=cookie))
    name, _, value = cookie.partition("=")
    until, _, signature = value.partition(".")
    assert not guard.may_change(request(cookie=f"{name}={int(until) + 1}.{signature}"))
    later = time.time() + access.SESSION_SECONDS + 1
    monkeypatch.setattr(access.time, "time", lambda: later)
    assert not guard.may_change(request(cookie=cookie))


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
    assert guard.may_change(request(cookie=session(guard), **headers)) == allowed


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
