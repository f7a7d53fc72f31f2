"""Pages of other origins: off unless an operator names them, preflights as browsers send them, no console."""

import asyncio
from pathlib import Path

import httpx
import pytest

from crowdserve.errors import SetupError
from crowdserve_transformer.settings import read_settings
from tests.support.in_process import INFER, in_process

PAGE, OTHER = "https://pages.example", "https://other.example"
NOBODY = "127.0.0.1:9"
ALLOWED = "access-control-allow-origin"


def asked(repository: Path, origins: str, *requests: tuple[str, str, dict[str, str]]) -> list[httpx.Response]:
    async def whole() -> list[httpx.Response]:
        async with in_process(NOBODY, repository, cors_origins=origins, ready_timeout_seconds=0.05) as client:
            return [await client.request(method, path, headers=headers) for method, path, headers in requests]

    return asyncio.run(whole())


def preflight(origin: str, path: str = INFER) -> tuple[str, str, dict[str, str]]:
    wanted = "content-type,inference-header-content-length,x-request-timeout-seconds,authorization"
    headers = {"access-control-request-method": "POST", "access-control-request-headers": wanted}
    return "OPTIONS", path, {"origin": origin, **headers}


def test_no_page_of_another_origin_reads_anything_by_default(small_repository: Path) -> None:
    refused, read = asked(small_repository, "", preflight(PAGE), ("GET", "/v2", {"origin": PAGE}))
    assert (refused.status_code, read.status_code) == (405, 200)
    assert not {name for each in (refused, read) for name in each.headers if name.startswith("access-control")}


@pytest.mark.parametrize("origins", [PAGE, f"https://a.example:8443,{PAGE}", "*"])
def test_named_pages_send_and_read(small_repository: Path, origins: str) -> None:
    asks, reads, fails = asked(
        small_repository, origins, preflight(PAGE), ("GET", "/v2", {"origin": PAGE}), ("POST", INFER, {"origin": PAGE})
    )
    assert asks.status_code == 200
    assert {"authorization", "content-type", "inference-header-content-length"} <= {
        name.strip() for name in asks.headers["access-control-allow-headers"].lower().split(",")
    }
    assert "POST" in asks.headers["access-control-allow-methods"]
    assert (reads.status_code, fails.status_code) == (200, 400)
    for each in (asks, reads, fails):
        assert each.headers[ALLOWED] == ("*" if origins == "*" else PAGE)
        assert "access-control-allow-credentials" not in each.headers
    assert "x-request-id" in reads.headers["access-control-expose-headers"]


def test_other_pages_and_the_console_are_not_shared(small_repository: Path) -> None:
    answers = asked(
        small_repository,
        PAGE,
        preflight(OTHER),
        ("GET", "/v2", {"origin": OTHER}),
        preflight(PAGE, "/console/api/cameras"),
        ("GET", "/", {"origin": PAGE}),
        ("GET", "/v2", {}),
    )
    assert [each.status_code for each in answers] == [400, 200, 404, 200, 200]
    assert not any(ALLOWED in each.headers for each in answers)


@pytest.mark.parametrize("origin", ["pages.example", "https://pages.example/", "https://*.example", "null"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(SetupError, match="expected origins as browsers write them"):
        read_settings([], {"CROWDSERVE_CORS_ORIGINS": origin})


@pytest.mark.parametrize(
    ("origin", "written"),
    [
        ("https://pages.example:443", PAGE),
        ("http://pages.example:80", "http://pages.example"),
        ("http://pages.example:443", "http://pages.example:443"),
        ("https://[2001:db8::443]", "https://[2001:db8::443]"),
    ],
)
def test_a_port_that_browsers_leave_out_is_left_out(origin: str, written: str) -> None:
    assert read_settings([], {"CROWDSERVE_CORS_ORIGINS": origin}).page_origins == (written,)
