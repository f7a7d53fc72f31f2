"""What a browser gets: pages that load nothing from elsewhere, and little."""

import re

import httpx
import pytest

from crowdserve.console.files import Files

PAGES = ("", "camera", "alerts", "count")


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False)


def test_all_of_it_is_light() -> None:
    assert 20_000 < Files().total_bytes < 300_000


@pytest.mark.parametrize("page", PAGES)
def test_a_page_and_what_it_loads(console: str, page: str) -> None:
    reply = get(console + page)
    assert reply.status_code == 200
    assert "'unsafe" not in reply.headers["content-security-policy"]
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|https?://", reply.text)
    assert '<html lang="en">' in reply.text
    loaded = re.findall(r'(?:src|href)="(static/[^"]+)"', reply.text)
    assert len(loaded) == 3
    for each in loaded:
        assert get(console + each).status_code == 200


def test_scripts_import_what_there_is_and_write_no_markup() -> None:
    files = Files()._files
    scripts = {name: content.decode() for name, content in files.items() if name.endswith(".js")}
    for text in scripts.values():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert set(re.findall(r'https?://[^"]+', text)) <= {"http://www.w3.org/2000/svg"}
        assert set(re.findall(r'(?:from|import) "\./([^"]+)"', text)) <= scripts.keys()


def test_a_browser_that_has_a_file_is_told_so(console: str) -> None:
    first = get(f"{console}static/console.css")
    again = get(f"{console}static/console.css", **{"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["static/none.js", "static/..%2Fapp.py", "nothing", "api/nothing"])
def test_what_there_is_not(console: str, path: str) -> None:
    reply = get(console + path)
    assert reply.status_code == 404
    assert reply.headers["content-security-policy"]


def test_the_address_without_a_slash(console: str) -> None:
    reply = get(console.rstrip("/"), host="evil.example")
    assert (reply.status_code, reply.headers["location"]) == (307, "console/")


def test_a_console_without_cameras_is_read_only_and_says_that_the_service_is_away(console: str) -> None:
    assert get(f"{console}api/session").json() == {"changeable": False, "may_change": False}
    assert get(f"{console}api/cameras/a/picture").status_code == 404
    assert get(f"{console}api/cameras/a/history").status_code == 404
    reply = httpx.post(f"{console}api/count", content=b"photo", trust_env=False)
    assert reply.status_code == 503
    assert "does not answer" in reply.json()["error"]


def test_no_proxy_holds_back_what_a_page_is_told(console: str) -> None:
    with httpx.stream("GET", f"{console}api/events", trust_env=False) as reply:
        assert reply.headers["x-accel-buffering"] == "no"
        assert "no-transform" in reply.headers["cache-control"]
